package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3" // What the settings of a plugin are in.
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

const extensions = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"

// discover stands in for istiod: to an agent it serves extension configurations, and no resource of any other type, by incremental xDS;
// over HTTP it takes what they shall be from now on.
func discover(forProxies, forPeople string) error {
	listener, err := net.Listen("tcp", forProxies)
	if err != nil {
		return err
	}
	plugins := &plugins{changed: make(chan struct{})}
	server := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(server, plugins)
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	go func() { failed <- http.ListenAndServe(forPeople, plugins) }()
	return <-failed
}

// plugins are the extension configurations that there are.
type plugins struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	sync.Mutex
	version   int
	resources map[string]*discovery.Resource
	// Closed, and another in its place, at each change.
	changed chan struct{}
}

// ServeHTTP takes a JSON list of extension configurations.
func (p *plugins) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var list []json.RawMessage
	if err := json.NewDecoder(request.Body).Decode(&list); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	p.Lock()
	defer p.Unlock()
	p.version++
	resources := map[string]*discovery.Resource{}
	for _, text := range list {
		extension := &core.TypedExtensionConfig{}
		if err := protojson.Unmarshal(text, extension); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		packed, err := anypb.New(extension)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		resources[extension.Name] = &discovery.Resource{Name: extension.Name, Version: strconv.Itoa(p.version), Resource: packed}
	}
	p.resources = resources
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *plugins) now() (map[string]*discovery.Resource, <-chan struct{}) {
	p.Lock()
	defer p.Unlock()
	return p.resources, p.changed
}

// DeltaAggregatedResources answers one agent until it leaves.
func (p *plugins) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	requests := make(chan *discovery.DeltaDiscoveryRequest)
	gone := make(chan error, 1)
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				gone <- err
				return
			}
			select {
			case requests <- request:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	asked := false
	_, changed := p.now()
	for {
		send := ""
		select {
		case err := <-gone:
			return err
		case request := <-requests:
			if request.ErrorDetail != nil {
				fmt.Printf("refused %s: %s\n", request.TypeUrl, request.ErrorDetail.Message)
			}
			// Others are acknowledgements.
			if request.ResponseNonce == "" || len(request.ResourceNamesSubscribe) > 0 {
				send = request.TypeUrl
			}
			asked = asked || request.TypeUrl == extensions
		case <-changed:
			if asked {
				send = extensions
			}
		}
		var resources map[string]*discovery.Resource
		resources, changed = p.now()
		if send == "" {
			continue
		}
		response := &discovery.DeltaDiscoveryResponse{TypeUrl: send, Nonce: "n"}
		if send == extensions {
			for _, resource := range resources {
				response.Resources = append(response.Resources, resource)
			}
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}
