package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// refreshPeriod is how often ConfigMap and Secret volumes are looked at again; a real kubelet takes up to a minute or two.
const refreshPeriod = time.Second

// payload names the files of a ConfigMap or Secret.
func payload(items []v1.KeyToPath, data map[string][]byte) map[string][]byte {
	files := map[string][]byte{}
	for key, text := range data {
		name := key
		for _, item := range items {
			if item.Key == key {
				name = item.Path
			}
		}
		files[name] = text
	}
	return files
}

// swap makes a volume hold these files and no others, all at once, as a real kubelet does: NAME -> ..data/NAME, ..data -> ..VERSION.
// Programs see the old files or the new ones, never some of each.
func swap(folder string, files map[string][]byte) error {
	link := filepath.Join(folder, "..data")
	old, _ := os.Readlink(link)
	if old != "" && same(filepath.Join(folder, old), files) {
		return nil
	}
	version := fmt.Sprintf("..%d", time.Now().UnixNano())
	for name, text := range files {
		path := filepath.Join(folder, version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(folder, version), 0o755); err != nil { // there may be no file at all
		return err
	}
	os.Remove(link + ".new")
	if err := os.Symlink(version, link+".new"); err != nil {
		return err
	}
	if err := os.Rename(link+".new", link); err != nil {
		return err
	}
	shown := map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		shown[first] = true
		if err := os.Symlink("..data/"+first, filepath.Join(folder, first)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if !shown[e.Name()] && !strings.HasPrefix(e.Name(), "..") {
			os.Remove(filepath.Join(folder, e.Name()))
		}
	}
	if old != "" {
		os.RemoveAll(filepath.Join(folder, old))
	}
	return nil
}

// same tells whether a folder holds exactly these files.
func same(folder string, files map[string][]byte) bool {
	found := 0
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		found++
		name, _ := filepath.Rel(folder, path)
		text, err := os.ReadFile(path)
		if want, ok := files[name]; err != nil || !ok || !bytes.Equal(text, want) {
			return os.ErrInvalid
		}
		return nil
	})
	return err == nil && found == len(files)
}

// refresh keeps the pod's ConfigMap and Secret volumes up to date until the pod ends. One that cannot be read, or is gone, stays as it
// was last.
func (w *pod) refresh() {
	for w.sleep(refreshPeriod) {
		for _, v := range w.spec.Spec.Volumes {
			if v.ConfigMap == nil && v.Secret == nil {
				continue
			}
			if folder := w.volumeFolder(v.Name); w.fill(v, folder) == nil {
				w.own(folder)
			}
		}
	}
}
