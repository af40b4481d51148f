package main

import (
	"context"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// field reads a path of the downward API.
func (w *pod) field(path string) string {
	p := w.spec
	key := func(m map[string]string) string {
		return m[strings.TrimSuffix(path[strings.Index(path, "['")+2:], "']")]
	}
	switch {
	case path == "metadata.name":
		return p.Name
	case path == "metadata.namespace":
		return p.Namespace
	case path == "metadata.uid":
		return string(p.UID)
	case strings.HasPrefix(path, "metadata.labels['"):
		return key(p.Labels)
	case strings.HasPrefix(path, "metadata.annotations['"):
		return key(p.Annotations)
	case path == "status.podIP", path == "status.podIPs":
		return w.address
	case path == "status.hostIP", path == "status.hostIPs":
		return w.k.network.host()
	case path == "spec.nodeName":
		return w.k.node
	case path == "spec.serviceAccountName":
		return p.Spec.ServiceAccountName
	}
	return ""
}

func (w *pod) configMapData(name string) (map[string]string, error) {
	o, err := w.k.client.CoreV1().ConfigMaps(w.spec.Namespace).Get(context.Background(), name, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Data, nil
}

func (w *pod) secretData(name string) (map[string]string, error) {
	o, err := w.k.client.CoreV1().Secrets(w.spec.Namespace).Get(context.Background(), name, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for k, v := range o.Data {
		data[k] = string(v)
	}
	return data, nil
}

// source reads one env value from where it points.
func (w *pod) source(s *v1.EnvVarSource) (string, error) {
	var data map[string]string
	var err error
	var key string
	var optional *bool
	switch {
	case s.FieldRef != nil:
		return w.field(s.FieldRef.FieldPath), nil
	case s.SecretKeyRef != nil:
		key, optional = s.SecretKeyRef.Key, s.SecretKeyRef.Optional
		data, err = w.secretData(s.SecretKeyRef.Name)
	case s.ConfigMapKeyRef != nil:
		key, optional = s.ConfigMapKeyRef.Key, s.ConfigMapKeyRef.Optional
		data, err = w.configMapData(s.ConfigMapKeyRef.Name)
	}
	if err != nil && (optional == nil || !*optional) {
		return "", err
	}
	return data[key], nil
}

func (w *pod) env(c *v1.Container) ([]string, error) {
	out := []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "HOSTNAME=" + w.spec.Name,
		"KUBERNETES_SERVICE_HOST=" + w.k.network.host(), "KUBERNETES_SERVICE_PORT=" + w.k.apiPort}
	for _, f := range c.EnvFrom {
		var data map[string]string
		var err error
		if f.SecretRef != nil {
			data, err = w.secretData(f.SecretRef.Name)
		} else if f.ConfigMapRef != nil {
			data, err = w.configMapData(f.ConfigMapRef.Name)
		}
		if err != nil {
			return nil, err
		}
		for k, v := range data {
			out = append(out, f.Prefix+k+"="+v)
		}
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			v, err := w.source(e.ValueFrom)
			if err != nil {
				return nil, err
			}
			value = v
		}
		for _, entry := range out { // $(VAR) of what came before
			name, v, _ := strings.Cut(entry, "=")
			value = strings.ReplaceAll(value, "$("+name+")", v)
		}
		out = append(out, e.Name+"="+value)
	}
	return out, nil
}
