package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// volume is one volume of a pod as a folder of this machine.
type volume struct {
	name, folder string
}

func (w *pod) volumeFolder(name string) string {
	folder, _ := filepath.Abs(filepath.Join(w.k.state, "volumes", string(w.spec.UID), name))
	return folder
}

// volumes makes every volume; an error says what is not there yet.
func (w *pod) volumes() ([]volume, error) {
	w.k.hosts.open(string(w.spec.UID), w.spec.Namespace)
	var out []volume
	for _, v := range w.spec.Spec.Volumes {
		folder := w.volumeFolder(v.Name)
		if v.PersistentVolumeClaim != nil {
			claim, err := w.claim(v.PersistentVolumeClaim.ClaimName)
			if err != nil {
				return nil, err
			}
			folder = claim
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		if err := w.fill(v, folder); err != nil {
			return nil, err
		}
		w.own(folder)
		out = append(out, volume{v.Name, folder})
	}
	return out, nil
}

// own makes a volume writable for the pod's fsGroup, or for everybody when it names none.
func (w *pod) own(folder string) {
	if s := w.spec.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
			if err == nil {
				os.Chown(path, -1, int(*s.FSGroup))
				mode := info.Mode().Perm() | 0o060
				if info.IsDir() {
					mode |= 0o070 | os.ModeSetgid
				}
				os.Chmod(path, mode)
			}
			return nil
		})
		return
	}
	os.Chmod(folder, 0o777)
}

// claim gives the folder behind a PersistentVolumeClaim, which outlives the pod, and marks the claim bound.
func (w *pod) claim(name string) (string, error) {
	claims := w.k.client.CoreV1().PersistentVolumeClaims(w.spec.Namespace)
	c, err := claims.Get(context.Background(), name, meta.GetOptions{})
	if err != nil {
		return "", err
	}
	if c.Status.Phase != v1.ClaimBound {
		patch := []byte(`{"status":{"phase":"Bound","accessModes":["ReadWriteOnce"]}}`)
		claims.Patch(context.Background(), name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	}
	return filepath.Abs(filepath.Join(w.k.state, "claims", w.spec.Namespace+"_"+name))
}

func (w *pod) fill(v v1.Volume, folder string) error {
	switch {
	case v.ConfigMap != nil:
		return w.fillConfigMap(swap, folder, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
	case v.Secret != nil:
		return w.fillSecret(swap, folder, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if err := w.fillProjection(folder, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *pod) fillProjection(folder string, s v1.VolumeProjection) error {
	switch {
	case s.ConfigMap != nil:
		return w.fillConfigMap(put, folder, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
	case s.Secret != nil:
		return w.fillSecret(put, folder, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
	case s.DownwardAPI != nil:
		for _, item := range s.DownwardAPI.Items {
			if item.FieldRef != nil {
				if err := put(folder, map[string][]byte{item.Path: []byte(w.field(item.FieldRef.FieldPath))}); err != nil {
					return err
				}
			}
		}
	case s.ServiceAccountToken != nil:
		day := int64(86400) // longer than any run
		request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &day,
			BoundObjectRef: &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: w.spec.Name, UID: w.spec.UID}}}
		if s.ServiceAccountToken.Audience != "" {
			request.Spec.Audiences = []string{s.ServiceAccountToken.Audience}
		}
		t, err := w.k.client.CoreV1().ServiceAccounts(w.spec.Namespace).CreateToken(context.Background(), w.spec.Spec.ServiceAccountName, request, meta.CreateOptions{})
		if err != nil {
			return err
		}
		return put(folder, map[string][]byte{s.ServiceAccountToken.Path: []byte(t.Status.Token)})
	}
	return nil
}

func (w *pod) fillConfigMap(write writer, folder, name string, items []v1.KeyToPath, optional *bool) error {
	o, err := w.k.client.CoreV1().ConfigMaps(w.spec.Namespace).Get(context.Background(), name, meta.GetOptions{})
	if err != nil {
		return unlessOptional(err, optional)
	}
	data := map[string][]byte{}
	for key, text := range o.Data {
		data[key] = []byte(text)
	}
	return write(folder, payload(items, data))
}

func (w *pod) fillSecret(write writer, folder, name string, items []v1.KeyToPath, optional *bool) error {
	o, err := w.k.client.CoreV1().Secrets(w.spec.Namespace).Get(context.Background(), name, meta.GetOptions{})
	if err != nil {
		return unlessOptional(err, optional)
	}
	return write(folder, payload(items, o.Data))
}

func unlessOptional(err error, optional *bool) error {
	if optional != nil && *optional && errors.IsNotFound(err) {
		return nil
	}
	return err
}

// writer puts files into a volume's folder.
type writer func(folder string, files map[string][]byte) error

// put adds files to what is there: a projected volume has several sources.
func put(folder string, files map[string][]byte) error {
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mountSteps are the shell commands that bind a container's volumes; missing mount points are made first.
func (w *pod) mountSteps(c *v1.Container, volumes []volume) ([]string, error) {
	var steps []string
	for _, m := range c.VolumeMounts {
		for _, v := range volumes {
			if v.name != m.Name {
				continue
			}
			source := filepath.Join(v.folder, m.SubPath)
			if err := w.k.mountPoints.need(m.MountPath, m.SubPath != ""); err != nil {
				return nil, err
			}
			steps = append(steps, "mount --bind "+quote(source)+" "+quote(m.MountPath))
			if m.ReadOnly {
				steps = append(steps, "mount -o remount,bind,ro "+quote(m.MountPath))
			}
		}
	}
	return steps, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
