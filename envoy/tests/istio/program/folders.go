package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// What Istio's images have in place of this: the template of Envoy's bootstrap. xtask takes it from the module.
//
//go:embed envoy_bootstrap.json
var template []byte

// The agent's folder for modules that it has fetched. Its path is compiled in.
const fetched = "/var/lib/istio/data"

// Set in the process that has a view of the file system of its own.
const mark = "ISTIO_HAS_ITS_OWN_FOLDERS"

// bootstrap is the template without the extension that asks istiod for the metadata of peers: only Istio's build of Envoy has it, and for a
// waypoint the agent cannot be told to leave it out.
func bootstrap() []byte {
	return bytes.ReplaceAll(template, []byte("if .metadata_discovery"), []byte("if false"))
}

// prepare puts the template where the agent looks for it, and gives the agent a folder for modules that no other agent on this machine
// shares: without the right to mount one, the machine's own, which must exist.
func prepare() error {
	const path = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, bootstrap(), 0o644); err != nil {
		return err
	}
	if os.Getenv(mark) != "" {
		return nil
	}
	if err := ownFolder(); err != nil {
		if made := os.MkdirAll(fetched, 0o755); made != nil {
			return fmt.Errorf("no folder for fetched modules: %w, %w", err, made)
		}
		return nil
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), mark+"=1"))
}

// ownFolder mounts an empty folder over /var/lib for this thread, which must be the one that goes on.
func ownFolder() error {
	own, err := filepath.Abs("own")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(own, "istio/data"), 0o755); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount(own, "/var/lib", "", syscall.MS_BIND, "")
}
