package main

import (
	_ "embed"
	"os"
	"path/filepath"

	"istio.io/istio/pkg/config/crd"
)

// The custom resource definitions that Istio's chart installs. xtask takes them from the module.
//
//go:embed crd-all.gen.yaml
var definitions []byte

// schemas reads the definitions into what an API server holds a resource against: its schema, the fields that it may have, and its
// rules in CEL.
func schemas() (*crd.Validator, error) {
	folder, err := os.MkdirTemp("", "istio-crds-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "crds.yaml")
	if err := os.WriteFile(path, definitions, 0o600); err != nil {
		return nil, err
	}
	// Istio's own tests hold the definitions themselves against what Kubernetes allows; that takes seconds.
	return crd.NewValidatorFromFilesWithOptions([]string{path}, crd.WithoutCRDValidation())
}
