package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// network is one bridge with one network namespace per pod. Namespaces are named BRIDGE-UID, so that instances side by side, and the
// leavings of a crash, are told apart.
type network struct {
	bridge, net string
}

func newNetwork(bridge, net string) *network { return &network{bridge: bridge, net: net} }

func (n *network) host() string { return n.net + ".0.1" }

// address gives the i-th pod address: NET.1.0 upwards, around after 60,000.
func (n *network) address(i int) string {
	k := i%60000 + 256
	return fmt.Sprintf("%s.%d.%d", n.net, k/256, k%256)
}

func ip(arguments []string, batch ...string) error {
	c := exec.Command("ip", append(arguments, "-batch", "-")...)
	c.Stdin = strings.NewReader(strings.Join(batch, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", batch, err, out)
	}
	return nil
}

func (n *network) up() error {
	n.clear()
	if err := ip(nil, "link add "+n.bridge+" type bridge"); err != nil && !strings.Contains(err.Error(), "File exists") {
		return err
	}
	return ip(nil, "addr replace "+n.host()+"/16 dev "+n.bridge, "link set "+n.bridge+" up")
}

func (n *network) down() {
	n.clear()
	ip(nil, "link del "+n.bridge)
}

// clear removes namespaces of this bridge, ours or a crashed predecessor's, with every process in them.
func (n *network) clear() {
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), n.bridge+"-") {
			n.remove(e.Name())
		}
	}
}

func (n *network) add(uid, address string) (string, error) {
	id := strings.ReplaceAll(uid, "-", "")[:10]
	ns, veth := n.bridge+"-"+id, "v"+id
	if err := ip(nil, "netns add "+ns, "link add "+veth+" type veth peer name eth0 netns "+ns, "link set "+veth+" master "+n.bridge+" up"); err != nil {
		return ns, err
	}
	return ns, ip([]string{"-n", ns}, "addr replace "+address+"/16 dev eth0", "link set lo up", "link set eth0 up", "route add default via "+n.host())
}

func (n *network) remove(ns string) {
	n.kill(ns)
	ip(nil, "netns del "+ns)
}

// kill ends every process of a namespace, those that left their process group included.
func (n *network) kill(ns string) {
	for try := 0; try < 50; try++ {
		out, err := exec.Command("ip", "netns", "pids", ns).Output()
		pids := strings.Fields(string(out))
		if err != nil || len(pids) == 0 {
			return
		}
		for _, text := range pids {
			if pid, err := strconv.Atoi(text); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
