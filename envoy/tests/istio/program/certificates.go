package main

import (
	"os"
	"path/filepath"
	"time"

	"istio.io/istio/security/pkg/pki/util"
)

// Where the agent looks for certificates that were mounted, below its working folder.
const mounted = "etc/certs"

const lifetime = 24 * time.Hour

// issue writes a workload's key and certificate where its agent looks for them, of the root in a folder, which is made where it is missing.
func issue(rootFolder, identity, folder string) error {
	certificate, key, err := root(rootFolder)
	if err != nil {
		return err
	}
	signer, err := util.ParsePemEncodedCertificate(certificate)
	if err != nil {
		return err
	}
	private, err := util.ParsePemEncodedKey(key)
	if err != nil {
		return err
	}
	issued, issuedKey, err := util.GenCertKeyFromOptions(util.CertOptions{
		Host:       identity,
		NotBefore:  time.Now().Add(-time.Minute),
		TTL:        lifetime,
		SignerCert: signer,
		SignerPriv: private,
		IsClient:   true,
		IsServer:   true,
		ECSigAlg:   util.EcdsaSigAlg,
	})
	if err != nil {
		return err
	}
	return write(filepath.Join(folder, mounted), map[string][]byte{
		"cert-chain.pem": issued,
		"key.pem":        issuedKey,
		"root-cert.pem":  certificate,
	})
}

func root(folder string) (certificate, key []byte, err error) {
	certificate, err = os.ReadFile(filepath.Join(folder, "root.pem"))
	if err == nil {
		key, err = os.ReadFile(filepath.Join(folder, "root-key.pem"))
		return certificate, key, err
	}
	certificate, key, err = util.GenCertKeyFromOptions(util.CertOptions{
		NotBefore:    time.Now().Add(-time.Minute),
		TTL:          lifetime,
		Org:          "cluster.local",
		IsCA:         true,
		IsSelfSigned: true,
		ECSigAlg:     util.EcdsaSigAlg,
	})
	if err != nil {
		return nil, nil, err
	}
	return certificate, key, write(folder, map[string][]byte{"root.pem": certificate, "root-key.pem": key})
}

func write(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
