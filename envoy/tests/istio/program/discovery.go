package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"time"

	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
)

// discover serves xDS at one address and, over HTTP, the store of manifests and istiod's own debug pages at another, for ever.
func discover(forProxies, forPeople, meshFile, objectsFile string) error {
	if err := log.Configure(log.DefaultOptions()); err != nil {
		return err
	}
	meshText, err := os.ReadFile(meshFile)
	if err != nil {
		return err
	}
	configuration, err := mesh.ApplyMeshConfigDefaults(string(meshText))
	if err != nil {
		return err
	}
	objects, err := os.ReadFile(objectsFile)
	if err != nil {
		return err
	}
	// Istio's tests are run by a Failer; here its first failure ends the program.
	return test.Wrap(func(t test.Failer) {
		server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			MeshConfig:             configuration,
			KubernetesObjectString: string(objects),
			DebounceTime:           50 * time.Millisecond,
			ListenerBuilder:        func() (net.Listener, error) { return net.Listen("tcp", forProxies) },
		})
		store, err := newStore(server.Store())
		if err != nil {
			t.Fatal(err)
		}
		pages := http.NewServeMux()
		pages.Handle("PUT /manifests", store)
		pages.Handle("/debug/", server.DiscoveryDebug)
		t.Fatal(http.ListenAndServe(forPeople, pages))
	})
}

// ServeHTTP takes all manifests that shall stand from now on, a JSON list, and answers with what the webhook said of those that it
// refused: the ones before stand in their place.
func (s *store) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var manifests []json.RawMessage
	if err := json.NewDecoder(request.Body).Decode(&manifests); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	refused, err := s.replace(manifests)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(response).Encode(refused)
}
