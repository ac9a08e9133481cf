package main

import (
	"fmt"
	"os"

	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/log"
)

// analyze prints what `istioctl analyze --use-kube=false` finds in these files, a line each.
func analyze(files []string) error {
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	if err := log.Configure(options); err != nil {
		return err
	}
	analyzer := local.NewIstiodAnalyzer(analyzers.AllCombined(), "", "istio-system", nil)
	if err := analyzer.AddDefaultResources(); err != nil {
		return err
	}
	var readers []local.ReaderSource
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		readers = append(readers, local.ReaderSource{Name: path, Reader: file})
	}
	if err := analyzer.AddReaderKubeSource(readers); err != nil {
		fmt.Println(err)
	}
	result, err := analyzer.Analyze(make(chan struct{}))
	if err != nil {
		return err
	}
	for i := range result.Messages {
		fmt.Println(result.Messages[i].String())
	}
	return nil
}
