package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// hosts keeps an /etc/hosts for each pod: NAME, NAME.NS, NAME.NS.svc and NAME.NS.svc.cluster.local of every Service, for the addresses
// of its ready endpoints. There is no cluster address and no port mapping: a Service's port must be its target port for pods.
// Pods of a StatefulSet are found by their own names too (POD.SERVICE.NS.svc…).
type hosts struct {
	k      *kubelet
	slices listers.EndpointSliceLister

	mu    sync.Mutex
	files map[string]string // uid -> namespace, of which files exist
}

// noNameServer is every pod's resolv.conf: a name that is not in its hosts file is unknown at once, not after a time-out.
const noNameServer = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

func newHosts(k *kubelet, factory informers.SharedInformerFactory) *hosts {
	h := &hosts{k: k, files: map[string]string{}}
	informer := factory.Discovery().V1().EndpointSlices()
	h.slices = informer.Lister()
	informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { h.update() }, UpdateFunc: func(any, any) { h.update() }, DeleteFunc: func(any) { h.update() },
	})
	return h
}

func (h *hosts) file(uid string) string {
	folder, _ := filepath.Abs(filepath.Join(h.k.state, "hosts"))
	return filepath.Join(folder, uid)
}

// open makes the file of a pod; its own address and name come first.
func (h *hosts) open(uid, namespace string) {
	os.MkdirAll(filepath.Dir(h.file(uid)), 0o755)
	if err := os.WriteFile(h.file("resolv.conf"), []byte(noNameServer), 0o644); err != nil {
		fmt.Println("hosts:", err)
	}
	h.mu.Lock()
	h.files[uid] = namespace
	h.mu.Unlock()
	h.update()
}

func (h *hosts) forget(uid string) {
	h.mu.Lock()
	delete(h.files, uid)
	h.mu.Unlock()
	os.Remove(h.file(uid))
}

// names of one service as a pod of namespace `from` may say them.
func names(service, namespace, from string) []string {
	full := []string{service + "." + namespace + ".svc.cluster.local", service + "." + namespace + ".svc", service + "." + namespace}
	if namespace == from {
		full = append(full, service)
	}
	return full
}

func (h *hosts) update() {
	slices, _ := h.slices.List(labels.Everything())
	sort.Slice(slices, func(i, j int) bool {
		return slices[i].Namespace+"/"+slices[i].Name < slices[j].Namespace+"/"+slices[j].Name
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for uid, namespace := range h.files {
		text := "127.0.0.1 localhost\n"
		for _, alias := range names("kubernetes", "default", namespace) {
			text += h.k.network.host() + " " + alias + "\n"
		}
		for _, s := range slices {
			text += lines(s, namespace)
		}
		// In place: the pod has this very file mounted.
		if old, err := os.ReadFile(h.file(uid)); err != nil || string(old) != text {
			if err := os.WriteFile(h.file(uid), []byte(text), 0o644); err != nil {
				fmt.Println("hosts:", err)
			}
		}
	}
}

func lines(s *discovery.EndpointSlice, from string) string {
	service := s.Labels[discovery.LabelServiceName]
	if service == "" || service == "kubernetes" && s.Namespace == "default" {
		return ""
	}
	var text strings.Builder
	for _, e := range s.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		for _, address := range e.Addresses {
			text.WriteString(address + " " + strings.Join(names(service, s.Namespace, from), " "))
			if e.Hostname != nil {
				text.WriteString(" " + strings.Join(names(*e.Hostname+"."+service, s.Namespace, from), " "))
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}
