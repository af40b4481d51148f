package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// As a real kubelet: probes do not verify certificates and open a connection each time.
var probeTransport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}

// probes runs a container's startup, liveness and readiness probes until it exits; a failed startup or liveness probe asks for its end.
func (w *pod) probes(c *v1.Container, index int, env []string, exited, kill chan struct{}) {
	if s := c.StartupProbe; s != nil {
		up := false
		w.probeLoop(c, s, env, exited, func(ok bool) bool {
			up = ok
			return true
		})
		if !up {
			kill <- struct{}{}
			return
		}
	}
	if c.LivenessProbe != nil {
		go w.probeLoop(c, c.LivenessProbe, env, exited, func(ok bool) bool {
			if !ok {
				kill <- struct{}{}
			}
			return !ok
		})
	}
	if c.ReadinessProbe != nil {
		w.probeLoop(c, c.ReadinessProbe, env, exited, func(ok bool) bool {
			w.k.mu.Lock()
			differs := w.ready[index] != ok
			w.ready[index] = ok
			w.k.mu.Unlock()
			if differs {
				w.changed()
			}
			return false
		})
	}
}

// probeLoop tells `settled` of each result that its thresholds confirm; true ends the loop.
func (w *pod) probeLoop(c *v1.Container, p *v1.Probe, env []string, exited chan struct{}, settled func(ok bool) bool) {
	wait, good, bad := time.Duration(p.InitialDelaySeconds)*time.Second, int32(0), int32(0)
	for {
		select {
		case <-exited:
			return
		case <-time.After(wait):
		}
		wait = max(time.Duration(p.PeriodSeconds)*time.Second, time.Second)
		if w.check(c, p, env) {
			good, bad = good+1, 0
			if good >= max(p.SuccessThreshold, 1) && settled(true) {
				return
			}
		} else {
			good, bad = 0, bad+1
			if bad >= max(p.FailureThreshold, 1) && settled(false) {
				return
			}
		}
	}
}

func (w *pod) check(c *v1.Container, p *v1.Probe, env []string) bool {
	timeout := max(time.Duration(p.TimeoutSeconds)*time.Second, time.Second)
	port := func(name string, number int) int {
		for _, p := range c.Ports {
			if name != "" && p.Name == name {
				return int(p.ContainerPort)
			}
		}
		return number
	}
	switch h := p.ProbeHandler; {
	case h.HTTPGet != nil:
		url := fmt.Sprintf("%s://%s:%d/%s", strings.ToLower(string(h.HTTPGet.Scheme)), w.address,
			port(h.HTTPGet.Port.StrVal, h.HTTPGet.Port.IntValue()), strings.TrimPrefix(h.HTTPGet.Path, "/"))
		r, err := (&http.Client{Timeout: timeout, Transport: probeTransport}).Get(url)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode >= 200 && r.StatusCode < 400
	case h.TCPSocket != nil:
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", w.address, port(h.TCPSocket.Port.StrVal, h.TCPSocket.Port.IntValue())), timeout)
		if err == nil {
			conn.Close()
		}
		return err == nil
	case h.Exec != nil:
		cmd := exec.Command("ip", append([]string{"netns", "exec", w.namespace}, h.Exec.Command...)...)
		cmd.Env = env
		if cmd.Start() != nil {
			return false
		}
		timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
		defer timer.Stop()
		return cmd.Wait() == nil
	}
	return false // gRPC probes are not offered here
}
