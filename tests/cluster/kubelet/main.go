// process-kubelet runs the pods of a cluster as processes of this machine: each pod in a network namespace of its own on a bridge, each
// container as the command that the -images map (or the container itself) names. No images, no cgroups.
//
// Besides running them it does what pods expect of a node: environment and downward API, volumes (configMap, secret, projected with
// service account tokens, emptyDir, persistentVolumeClaim as a folder that outlives the pod), probes, restarts with back-off, graceful
// stop, security contexts (user, no capabilities, read-only root), and names of Services in /etc/hosts (hosts.go).
//
// Nothing is left behind: it clears its namespaces and bridge at exit, and those of a crashed predecessor at start.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type options struct {
	kubeconfig, node, net, bridge, state, images, fileSD string
}

// kubelet is the whole node. mu guards pods, nextIP and every pod's fields that say so.
type kubelet struct {
	options
	client  *kubernetes.Clientset
	images  map[string][]string
	network *network
	hosts   *hosts
	apiPort string

	mountPoints *mountPoints

	mu      sync.Mutex
	pods    map[types.UID]*pod
	nextIP  int
	closing bool
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the node")
	flag.StringVar(&o.node, "node", "node", "name of the node")
	flag.StringVar(&o.net, "net", "10.244", "first half of the /16 of pod addresses")
	flag.StringVar(&o.bridge, "bridge", "wpbr0", "bridge to make; its name also marks the namespaces")
	flag.StringVar(&o.state, "state", "", "folder for logs, volumes and claims")
	flag.StringVar(&o.images, "images", "", `file {"image": ["program", "argument"…]}: what an image runs when the container names no command`)
	flag.StringVar(&o.fileSD, "filesd", "", "Prometheus file_sd file to keep of running pods annotated prometheus.io/scrape=true")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "process-kubelet:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 500, 1000
	k := &kubelet{options: o, images: map[string][]string{}, pods: map[types.UID]*pod{}, apiPort: "443"}
	if k.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if u, err := url.Parse(config.Host); err == nil && u.Port() != "" {
		k.apiPort = u.Port()
	}
	if o.images != "" {
		text, err := os.ReadFile(o.images)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &k.images); err != nil {
			return fmt.Errorf("%s: %w", o.images, err)
		}
	}
	if err := os.MkdirAll(o.state, 0o755); err != nil {
		return err
	}
	k.network = newNetwork(o.bridge, o.net)
	if err := k.network.up(); err != nil {
		return err
	}
	defer k.network.down()
	k.mountPoints = newMountPoints(o.state)
	defer k.mountPoints.clear()
	if err := k.registerNode(); err != nil {
		return err
	}
	k.writeFileSD()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	factory := informers.NewSharedInformerFactory(k.client, 0)
	k.hosts = newHosts(k, factory)
	podInformer := factory.Core().V1().Pods().Informer()
	podInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.seen(o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { k.seen(o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if p, ok := o.(*v1.Pod); ok {
				k.end(p)
			}
		},
	})
	factory.Start(ctx.Done())
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	<-sig
	k.shutdown()
	return nil
}

// shutdown ends every process but writes no more statuses: the pods live on in the API and are run again at the next start.
func (k *kubelet) shutdown() {
	k.mu.Lock()
	k.closing = true
	var all []*pod
	for _, p := range k.pods {
		all = append(all, p)
	}
	k.mu.Unlock()
	for _, p := range all {
		p.stopOnce.Do(func() { close(p.stop) })
	}
	for _, p := range all {
		<-p.done
	}
}

func (k *kubelet) registerNode() error {
	ctx := context.Background()
	n := &v1.Node{ObjectMeta: meta.ObjectMeta{Name: k.node, Labels: map[string]string{"kubernetes.io/hostname": k.node, "kubernetes.io/os": "linux"}}}
	if got, err := k.client.CoreV1().Nodes().Create(ctx, n, meta.CreateOptions{}); err == nil {
		n = got
	} else if n, err = k.client.CoreV1().Nodes().Get(ctx, k.node, meta.GetOptions{}); err != nil {
		return err
	}
	now := meta.Now()
	n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "ProcessKubelet", LastHeartbeatTime: now, LastTransitionTime: now}}
	n.Status.Capacity = v1.ResourceList{v1.ResourceCPU: resource.MustParse("1000"), v1.ResourceMemory: resource.MustParse("1Ti"), v1.ResourcePods: resource.MustParse("10000")}
	n.Status.Allocatable = n.Status.Capacity
	n.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: k.network.host()}}
	_, err := k.client.CoreV1().Nodes().UpdateStatus(ctx, n, meta.UpdateOptions{})
	return err
}

// seen takes the newest version of a pod: binds it, starts it, or ends it.
func (k *kubelet) seen(p *v1.Pod) {
	switch {
	case p.DeletionTimestamp != nil:
		k.end(p)
	case p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed:
	case p.Spec.NodeName == "" && len(p.Spec.SchedulingGates) == 0:
		go k.client.CoreV1().Pods(p.Namespace).Bind(context.Background(), &v1.Binding{ObjectMeta: meta.ObjectMeta{Name: p.Name, UID: p.UID},
			Target: v1.ObjectReference{Kind: "Node", Name: k.node}}, meta.CreateOptions{})
	case p.Spec.NodeName == k.node:
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.pods[p.UID] == nil && !k.closing {
			k.nextIP++
			w := newPod(k, p, k.network.address(k.nextIP))
			k.pods[p.UID] = w
			go w.run()
		}
	}
}

func (k *kubelet) end(p *v1.Pod) {
	k.mu.Lock()
	w := k.pods[p.UID]
	if w != nil && p.DeletionTimestamp != nil {
		w.spec = p
	}
	k.mu.Unlock()
	if w != nil {
		w.stopOnce.Do(func() { close(w.stop) })
	} else if p.Spec.NodeName == k.node && p.DeletionTimestamp != nil {
		go k.deleteNow(p)
	}
}

// deleteNow tells the API that the processes of a deleted pod are gone.
func (k *kubelet) deleteNow(p *v1.Pod) {
	zero := int64(0)
	k.client.CoreV1().Pods(p.Namespace).Delete(context.Background(), p.Name, meta.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &meta.Preconditions{UID: &p.UID}})
}
