// Istio's own packages without a cluster around them: the discovery server with everything that istiod registers in it, the agent that
// runs Envoy beside it, and the analysis that istioctl has. The API server is a store in memory behind istiod's admission webhook.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/cmd/pilot-agent/app"
	istioagent "istio.io/istio/pkg/istio-agent"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/security"
	"istio.io/istio/security/pkg/nodeagent/sds"
)

const usage = `istio version                                   the module that this is built of
istio discovery XDS HTTP MESH OBJECTS           istiod: two addresses, its mesh configuration, and Kubernetes objects
istio proxy sidecar|router                      pilot-agent, with its files below the working folder
istio analyze FILE...                           istioctl analyze
istio certificates ROOT IDENTITY FOLDER         a workload's certificate of the root in that folder`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "version":
		return version()
	case len(arguments) == 5 && arguments[0] == "discovery":
		return discover(arguments[1], arguments[2], arguments[3], arguments[4])
	case len(arguments) > 1 && arguments[0] == "proxy":
		return agent()
	case len(arguments) > 1 && arguments[0] == "analyze":
		return analyze(arguments[1:])
	case len(arguments) == 4 && arguments[0] == "certificates":
		return issue(arguments[1], arguments[2], arguments[3])
	}
	return fmt.Errorf("%s", usage)
}

func version() error {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("no build information")
	}
	for _, module := range build.Deps {
		if module.Path == "istio.io/istio" {
			fmt.Println(module.Path, module.Version)
			return nil
		}
	}
	return fmt.Errorf("not built of istio.io/istio")
}

// agent is pilot-agent's own main function.
func agent() error {
	if err := prepare(); err != nil {
		return err
	}
	log.EnableKlogWithCobra()
	command := app.NewRootCommand(
		func(options *security.Options, secrets security.SecretManager, provider *meshconfig.PrivateKeyProvider) istioagent.SDSService {
			return sds.NewServer(options, secrets, provider)
		})
	return command.Execute()
}
