package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// command gives the words of a container: its own command or its image's, with $(VAR) replaced.
func (w *pod) command(c *v1.Container, env []string) ([]string, error) {
	words := append(append([]string{}, c.Command...), c.Args...)
	if len(c.Command) == 0 {
		words = append(append([]string{}, w.k.images[c.Image]...), c.Args...)
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("image %q: the container names no command and -images does not know it", c.Image)
	}
	for i := range words {
		for _, entry := range env {
			name, value, _ := strings.Cut(entry, "=")
			words[i] = strings.ReplaceAll(words[i], "$("+name+")", value)
		}
	}
	return words, nil
}

// identity is the setpriv call for a container's security context; nil if it asks for nothing.
func (w *pod) identity(c *v1.Container) ([]string, error) {
	uid, gid, nonRoot := int64(0), int64(0), false
	if s := w.spec.Spec.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			uid = *s.RunAsUser
		}
		if s.RunAsGroup != nil {
			gid = *s.RunAsGroup
		}
		nonRoot = s.RunAsNonRoot != nil && *s.RunAsNonRoot
	}
	drop := false
	if s := c.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			uid = *s.RunAsUser
		}
		if s.RunAsGroup != nil {
			gid = *s.RunAsGroup
		}
		if s.RunAsNonRoot != nil {
			nonRoot = *s.RunAsNonRoot
		}
		drop = s.Capabilities != nil && len(s.Capabilities.Drop) == 1 && s.Capabilities.Drop[0] == "ALL"
	}
	if nonRoot && uid == 0 {
		return nil, fmt.Errorf("container has runAsNonRoot and would run as root")
	}
	if uid == 0 && !drop {
		return nil, nil
	}
	groups := fmt.Sprint(gid)
	if s := w.spec.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		groups = fmt.Sprintf("%d,%d", gid, *s.FSGroup)
	}
	words := []string{"setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", gid), "--groups=" + groups, "--no-new-privs"}
	if drop {
		words = append(words, "--inh-caps=-all", "--bounding-set=-all")
	}
	return append(words, "--"), nil
}

// script is what runs in the container's own mount namespace before its program: mounts, then exec.
func (w *pod) script(c *v1.Container, volumes []volume) (string, error) {
	steps := []string{"mount --bind " + quote(w.k.hosts.file(string(w.spec.UID))) + " /etc/hosts",
		"mount --bind " + quote(w.k.hosts.file("resolv.conf")) + " /etc/resolv.conf"}
	mounts, err := w.mountSteps(c, volumes)
	if err != nil {
		return "", err
	}
	steps = append(steps, mounts...)
	readOnly := c.SecurityContext != nil && c.SecurityContext.ReadOnlyRootFilesystem != nil && *c.SecurityContext.ReadOnlyRootFilesystem
	if readOnly {
		// The root is remounted last: mount points must exist first. Bound volumes are mounts of their own and stay writable.
		steps = append(steps, "mount -o remount,bind,ro /")
	}
	return strings.Join(append(steps, `exec "$@"`), " && "), nil
}

func (w *pod) setState(c *v1.Container, index int, state v1.ContainerState) {
	if index < 0 {
		return
	}
	w.k.mu.Lock()
	if w.containers[index].State.Terminated != nil {
		w.containers[index].LastTerminationState = w.containers[index].State
	}
	w.containers[index].State = state
	if state.Running == nil {
		w.ready[index] = c.ReadinessProbe == nil
	}
	w.k.mu.Unlock()
	w.changed()
}

// execute runs a container once and returns its exit code. index < 0: an init container.
func (w *pod) execute(c *v1.Container, index int, volumes []volume) int {
	env, err := w.env(c)
	var words, identity []string
	var script string
	if err == nil {
		words, err = w.command(c, env)
	}
	if err == nil {
		identity, err = w.identity(c)
	}
	if err == nil {
		script, err = w.script(c, volumes)
	}
	if err != nil {
		w.setState(c, index, v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}})
		w.sleep(time.Second)
		return 1
	}
	// `ip netns exec` gives a private mount namespace too.
	enter := []string{"netns", "exec", w.namespace}
	full := append(append(append(enter, "sh", "-c", script, "sh"), identity...), words...)
	cmd := exec.Command("ip", full...)
	log, err := os.OpenFile(w.k.logFile(w.spec, c.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.Env, cmd.Dir = env, c.WorkingDir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		w.setState(c, index, v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "RunContainerError", Message: err.Error()}})
		w.sleep(time.Second)
		return 128
	}
	started, exited, kill := meta.Now(), make(chan struct{}), make(chan struct{}, 4)
	w.setState(c, index, v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: started}})
	go func() { cmd.Wait(); close(exited) }()
	if index >= 0 {
		go w.probes(c, index, env, exited, kill)
	}
	select {
	case <-exited:
	case <-kill:
		w.terminate(cmd, exited)
	case <-w.stop:
		w.terminate(cmd, exited)
	}
	code, reason := cmd.ProcessState.ExitCode(), "Completed"
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if code != 0 {
		reason = "Error"
	}
	w.setState(c, index, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, StartedAt: started, FinishedAt: meta.Now()}})
	return code
}

// terminate asks the program to end, as a container's first process is asked, and kills all of it when its grace is over.
func (w *pod) terminate(cmd *exec.Cmd, exited chan struct{}) {
	w.k.mu.Lock()
	grace := int64(30)
	if w.spec.DeletionGracePeriodSeconds != nil {
		grace = *w.spec.DeletionGracePeriodSeconds
	} else if w.spec.Spec.TerminationGracePeriodSeconds != nil {
		grace = *w.spec.Spec.TerminationGracePeriodSeconds
	}
	if w.k.closing {
		grace = min(grace, 3)
	}
	w.k.mu.Unlock()
	syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(time.Duration(grace) * time.Second):
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
}

func (k *kubelet) logFile(p *v1.Pod, container string) string {
	folder := filepath.Join(k.state, "logs")
	os.MkdirAll(folder, 0o755)
	return filepath.Join(folder, p.Namespace+"_"+p.Name+"_"+container+".log")
}
