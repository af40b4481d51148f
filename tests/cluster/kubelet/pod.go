package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// fakeAnnotation marks pods that are Running and Ready at once without a process: for tests that need many.
const fakeAnnotation = "wheelpit.test/fake"

// pod is one pod's life on this node. Fields below the line are guarded by kubelet.mu.
type pod struct {
	k          *kubelet
	address    string
	namespace  string // network namespace
	started    meta.Time
	stop, done chan struct{} // closed when the pod must end; when all of it has ended
	stopOnce   sync.Once
	dirty      chan struct{}

	spec        *v1.Pod
	containers  []v1.ContainerStatus
	ready       []bool // of the readiness probes, one per container
	phase       v1.PodPhase
	wasReady    bool
	readySince  meta.Time
	volumeError string
}

func newPod(k *kubelet, p *v1.Pod, address string) *pod {
	w := &pod{k: k, spec: p, address: address, started: meta.Now(), phase: v1.PodPending,
		stop: make(chan struct{}), done: make(chan struct{}), dirty: make(chan struct{}, 1)}
	for _, c := range p.Spec.Containers {
		w.containers = append(w.containers, v1.ContainerStatus{Name: c.Name, Image: c.Image,
			State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}}})
		w.ready = append(w.ready, c.ReadinessProbe == nil)
	}
	return w
}

// changed asks for a status write; the writer coalesces.
func (w *pod) changed() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// sleep is false when the pod is to end.
func (w *pod) sleep(d time.Duration) bool {
	select {
	case <-w.stop:
		return false
	case <-time.After(d):
		return true
	}
}

func (w *pod) run() {
	var running sync.WaitGroup
	finished := make(chan struct{})
	running.Add(1)
	go func() {
		defer running.Done()
		if w.spec.Annotations[fakeAnnotation] == "true" {
			w.runFake()
		} else {
			w.runProcesses(&running)
		}
	}()
	go func() { running.Wait(); close(finished) }()
	w.changed()
	for open := true; open; {
		select {
		case <-w.dirty:
			w.writeStatus()
			w.k.writeFileSD()
		case <-finished:
			open = false
		}
	}
	if w.namespace != "" {
		w.k.network.remove(w.namespace)
	}
	w.finish()
}

func (w *pod) runFake() {
	w.k.mu.Lock()
	w.phase = v1.PodRunning
	for i := range w.containers {
		w.containers[i].State, w.ready[i] = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: meta.Now()}}, true
	}
	w.k.mu.Unlock()
	w.changed()
	<-w.stop
}

func (w *pod) runProcesses(running *sync.WaitGroup) {
	var err error
	if w.namespace, err = w.k.network.add(string(w.spec.UID), w.address); err != nil {
		fmt.Println("network of", w.spec.Name, err)
	}
	volumes, err := w.volumes()
	for err != nil { // a ConfigMap or Secret that is not there yet, as a real node waits for it
		w.waiting("CreateContainerConfigError", err.Error())
		if !w.sleep(time.Second) {
			return
		}
		volumes, err = w.volumes()
	}
	go w.refresh()
	for i := range w.spec.Spec.InitContainers {
		for w.execute(&w.spec.Spec.InitContainers[i], -1, volumes) != 0 {
			if w.spec.Spec.RestartPolicy == v1.RestartPolicyNever || !w.sleep(time.Second) {
				return
			}
		}
	}
	w.k.mu.Lock()
	w.phase = v1.PodRunning
	w.k.mu.Unlock()
	for i := range w.spec.Spec.Containers {
		running.Add(1)
		go func() { defer running.Done(); w.container(i, volumes) }()
	}
}

func (w *pod) waiting(reason, message string) {
	w.k.mu.Lock()
	for i := range w.containers {
		w.containers[i].State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	w.k.mu.Unlock()
	w.changed()
}

// finish reports the end of every container and, once the pod is deleted, tells the API that it is gone.
func (w *pod) finish() {
	w.k.mu.Lock()
	w.phase = v1.PodSucceeded
	for _, c := range w.containers {
		if t := c.State.Terminated; t == nil || t.ExitCode != 0 {
			w.phase = v1.PodFailed
		}
	}
	deleted := w.spec.DeletionTimestamp != nil
	w.k.mu.Unlock()
	if !deleted {
		w.writeStatus()
		<-w.stop
	}
	w.k.mu.Lock()
	p := w.spec
	delete(w.k.pods, p.UID)
	w.k.mu.Unlock()
	if p.DeletionTimestamp != nil {
		w.k.deleteNow(p)
	}
	os.RemoveAll(w.volumeFolder(""))
	w.k.hosts.forget(string(p.UID))
	w.k.writeFileSD()
	close(w.done)
}

// container runs one container again and again, by the pod's restart policy.
func (w *pod) container(i int, volumes []volume) {
	policy, back := w.spec.Spec.RestartPolicy, time.Second
	for {
		begin := time.Now()
		code := w.execute(&w.spec.Spec.Containers[i], i, volumes)
		if policy == v1.RestartPolicyNever || policy == v1.RestartPolicyOnFailure && code == 0 {
			return
		}
		if time.Since(begin) > time.Minute {
			back = time.Second
		}
		if !w.sleep(back) {
			return
		}
		back = min(2*back, 30*time.Second)
		w.k.mu.Lock()
		w.containers[i].RestartCount++
		w.k.mu.Unlock()
	}
}

func condition(t v1.PodConditionType, ok bool, at meta.Time) v1.PodCondition {
	s := v1.ConditionFalse
	if ok {
		s = v1.ConditionTrue
	}
	return v1.PodCondition{Type: t, Status: s, LastTransitionTime: at}
}

func (w *pod) writeStatus() {
	w.k.mu.Lock()
	if w.k.closing {
		w.k.mu.Unlock()
		return
	}
	all := true
	containers := make([]v1.ContainerStatus, len(w.containers))
	for i := range w.containers {
		run := w.containers[i].State.Running != nil
		w.containers[i].Ready, w.containers[i].Started = run && w.ready[i], &run
		all = all && w.containers[i].Ready
		containers[i] = w.containers[i]
	}
	if all != w.wasReady || w.readySince.IsZero() {
		w.wasReady, w.readySince = all, meta.Now()
	}
	host := w.k.network.host()
	status := v1.PodStatus{Phase: w.phase, PodIP: w.address, PodIPs: []v1.PodIP{{IP: w.address}}, HostIP: host, HostIPs: []v1.HostIP{{IP: host}},
		StartTime: &w.started, QOSClass: w.spec.Status.QOSClass, ContainerStatuses: containers,
		Conditions: []v1.PodCondition{condition(v1.PodScheduled, true, w.started), condition(v1.PodInitialized, w.phase != v1.PodPending, w.started),
			condition(v1.ContainersReady, all, w.readySince), condition(v1.PodReady, all, w.readySince)}}
	p := w.spec
	w.k.mu.Unlock()
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
	if _, err := w.k.client.CoreV1().Pods(p.Namespace).Patch(context.Background(), p.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status"); err != nil {
		fmt.Println("status of", p.Name, err)
	}
}

var fileSDMutex sync.Mutex

// writeFileSD keeps a Prometheus file_sd file: Debian's Prometheus is built without Kubernetes discovery.
func (k *kubelet) writeFileSD() {
	if k.fileSD == "" {
		return
	}
	fileSDMutex.Lock()
	defer fileSDMutex.Unlock()
	targets := []any{}
	k.mu.Lock()
	for _, w := range k.pods {
		if a := w.spec.Annotations; w.phase == v1.PodRunning && a["prometheus.io/scrape"] == "true" {
			targets = append(targets, map[string]any{"targets": []string{w.address + ":" + a["prometheus.io/port"]},
				"labels": map[string]string{"namespace": w.spec.Namespace, "pod": w.spec.Name}})
		}
	}
	k.mu.Unlock()
	text, _ := json.Marshal(targets)
	os.WriteFile(k.fileSD+".tmp", text, 0o644)
	os.Rename(k.fileSD+".tmp", k.fileSD)
}
