package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// mountPoints makes the folders and files that pods mount over and this machine lacks, and removes them again at the end. What was made
// is written down, so that the successor of a crashed kubelet removes it too.
type mountPoints struct {
	mu   sync.Mutex
	list string // file of what was made, one path a line
}

func newMountPoints(state string) *mountPoints {
	m := &mountPoints{list: filepath.Join(state, "mountpoints")}
	m.clear()
	return m
}

// need makes `path` as a folder, or as an empty file, if there is nothing.
func (m *mountPoints) need(path string, file bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil {
			break
		}
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		list, err := os.OpenFile(m.list, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = list.WriteString(missing[i] + "\n")
		list.Close()
		if err != nil {
			return err
		}
		if i == 0 && file {
			err = os.WriteFile(missing[i], nil, 0o644)
		} else {
			err = os.Mkdir(missing[i], 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clear removes what was made; a folder that others have used since stays.
func (m *mountPoints) clear() {
	text, _ := os.ReadFile(m.list)
	paths := strings.Fields(string(text))
	for i := len(paths) - 1; i >= 0; i-- {
		os.Remove(paths[i])
	}
	os.Remove(m.list)
}
