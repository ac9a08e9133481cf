package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"

	admission "k8s.io/api/admission/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	kube "istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/webhooks/validation/server"
)

// store has the part of an API server that istiod needs: it keeps what the definitions of Istio's resources and istiod's validating
// webhook admit.
type store struct {
	sync.Mutex
	istiod  model.ConfigStoreController
	schemas *crd.Validator
	webhook *http.ServeMux
	applied map[name]applied
}

// name is what an API server knows a manifest by.
type name struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
}

type applied struct {
	manifest string
	meta     config.Meta
}

func newStore(istiod model.ConfigStoreController) (*store, error) {
	webhook := http.NewServeMux()
	if _, err := server.New(server.Options{Schemas: collections.Istio, DomainSuffix: "cluster.local", Mux: webhook}); err != nil {
		return nil, err
	}
	definitions, err := schemas()
	if err != nil {
		return nil, err
	}
	return &store{istiod: istiod, schemas: definitions, webhook: webhook, applied: map[name]applied{}}, nil
}

// replace is `kubectl apply` of these and `kubectl delete` of what was applied before and is not among them. A manifest that has not
// changed keeps its version. What is returned are the refusals.
func (s *store) replace(manifests []json.RawMessage) ([]string, error) {
	s.Lock()
	defer s.Unlock()
	refused, wanted := []string{}, map[name]bool{}
	for _, manifest := range manifests {
		var it name
		if err := json.Unmarshal(manifest, &it); err != nil {
			return nil, err
		}
		wanted[it] = true
		if s.applied[it].manifest == string(manifest) {
			continue
		}
		if refusal := s.review(it, manifest); refusal != "" {
			refused = append(refused, refusal)
			continue
		}
		if err := s.apply(it, manifest); err != nil {
			return nil, fmt.Errorf("%s %s: %w", it.Kind, it.Metadata.Name, err)
		}
	}
	for it, before := range s.applied {
		if wanted[it] {
			continue
		}
		if err := s.istiod.Delete(before.meta.GroupVersionKind, before.meta.Name, before.meta.Namespace, nil); err != nil {
			return nil, err
		}
		delete(s.applied, it)
	}
	return refused, nil
}

func (s *store) apply(it name, manifest json.RawMessage) error {
	parsed, _, err := kube.ParseInputs(string(manifest))
	if err != nil {
		return err
	}
	if len(parsed) != 1 {
		return fmt.Errorf("no kind of Istio's")
	}
	resource := parsed[0]
	if before, changed := s.applied[it]; changed {
		resource.CreationTimestamp = before.meta.CreationTimestamp
		_, err = s.istiod.Update(resource)
	} else {
		_, err = s.istiod.Create(resource)
	}
	if err != nil {
		return err
	}
	if stored := s.istiod.Get(resource.GroupVersionKind, resource.Name, resource.Namespace); stored != nil {
		resource = *stored
	}
	s.applied[it] = applied{string(manifest), resource.Meta}
	return nil
}

// review holds a manifest against its definition and then asks istiod's webhook, as an API server does, and returns why one of them
// refuses; nothing where both admit.
func (s *store) review(it name, manifest json.RawMessage) string {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(manifest); err != nil {
		return err.Error()
	}
	if err := s.schemas.ValidateCustomResource(object); err != nil {
		return err.Error()
	}
	return s.askWebhook(it, manifest)
}

func (s *store) askWebhook(it name, manifest json.RawMessage) string {
	review := admission.AdmissionReview{
		TypeMeta: meta.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request: &admission.AdmissionRequest{
			UID:       "1",
			Kind:      meta.GroupVersionKind{Kind: it.Kind},
			Name:      it.Metadata.Name,
			Namespace: it.Metadata.Namespace,
			Operation: admission.Create,
			Object:    runtime.RawExtension{Raw: manifest},
		},
	}
	body, err := json.Marshal(review)
	if err != nil {
		return err.Error()
	}
	request := httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	s.webhook.ServeHTTP(answer, request)
	var reviewed admission.AdmissionReview
	if err := json.Unmarshal(answer.Body.Bytes(), &reviewed); err != nil || reviewed.Response == nil {
		return answer.Body.String()
	}
	if reviewed.Response.Allowed {
		return ""
	}
	return reviewed.Response.Result.Message
}
