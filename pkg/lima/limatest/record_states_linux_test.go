package limatest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func (r *recorder) disks() {
	r.take("version", "", "--version")
	r.take("list-absent", "instance: absent\n", "list", "--json")
	r.take("disk-list-none", "disk: none\n", "disk", "list", "--json")
	r.take("disk-create", "disk: none\nthen disk: free\n", "disk", "create", "default", "--size=1073741824")
	r.take("disk-list-free", "disk: free\n", "disk", "list", "--json")
	r.take("disk-resize", "disk: free\nthen disk: free\n", "disk", "resize", "default", "--size=2147483648")
	data := filepath.Join(r.limaHome, "_disks/default/datadisk")
	r.as("chmod", "000", data)
	r.take("disk-list-broken", "disk: broken\n", "disk", "list", "--json")
	r.take("disk-delete-broken", "# It fails by itself.\ndisk: broken\n", "disk", "delete", "-f", "default")
	r.as("chmod", "600", data)
	r.as("ln", "-s", r.in(), filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	r.take("disk-list-locked", "disk: locked\n", "disk", "list", "--json")
	r.take("disk-unlock-absent", "instance: absent\ndisk: locked\nthen disk: free\n", "disk", "unlock", "default")
}

func (r *recorder) creating() {
	r.take("create", "instance: absent\nthen instance: stopped\n", "create", "--name=default", r.file)
	r.take("list-stopped", "instance: stopped\n", "list", "--json")
	r.as("ln", "-s", r.in(), filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	r.take("disk-unlock-stopped", "instance: stopped\ndisk: locked\nthen disk: free\n", "disk", "unlock", "default")
	r.as("ln", "-s", r.in(), filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	r.take("stop-f-stopped-locked", "instance: stopped\ndisk: locked\nthen disk: free\n", "stop", "-f", "default")
	r.as("mv", r.in("lima.yaml"), r.in("lost.yaml"))
	r.take("list-torn", "instance: torn\n", "list", "--json")
	r.as("sh", "-c", "echo vmType: [ > "+r.in("lima.yaml"))
	r.take("list-unreadable", "instance: unreadable\n", "list", "--json")
	r.as("mv", r.in("lost.yaml"), r.in("lima.yaml"))
}

func (r *recorder) running() {
	r.take("start", "instance: stopped\ndisk: free\nthen instance: running\nthen disk: locked\n", "start", "default")
	r.take("list-running", "instance: running\n", "list", "--json")
	r.take("disk-unlock-running", "instance: running\ndisk: locked\n", "disk", "unlock", "default")
	r.take("stop", "instance: running\nthen instance: stopped\nthen disk: free\n", "stop", "default")
	r.take("stop-f-stopped", "instance: stopped\ndisk: free\n", "stop", "-f", "default")

	r.limactl("start", "default")
	r.kill("ha.pid")
	r.take("list-orphaned", "instance: orphaned\n", "list", "--json")
	r.take("stop-f-orphaned", "instance: orphaned\nthen instance: stopped\nthen disk: free\n", "stop", "-f", "default")

	r.limactl("start", "default")
	frozen, err := os.ReadFile(r.in("ha.pid"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.as("kill", "-STOP", strings.TrimSpace(string(frozen)))
	r.take("stop-frozen", "instance: running\nfail: frozen\n", "stop", "default")
	r.as("kill", "-CONT", strings.TrimSpace(string(frozen)))
	r.take("stop-f-running", "instance: running\nthen instance: stopped\nthen disk: free\n", "stop", "-f", "default")

	// A host agent without its machine comes about for a moment only; so the machine is hidden.
	r.limactl("start", "default")
	pid, err := os.ReadFile(r.in("qemu.pid"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.as("rm", r.in("qemu.pid"))
	r.take("list-hollow", "instance: hollow\n", "list", "--json")
	r.take("stop-hollow", "instance: hollow\nfail: hollow\n", "stop", "default")
	r.take("stop-f-hollow", "instance: hollow\nthen instance: stopped\nthen disk: free\n", "stop", "-f", "default")
	r.as("kill", "-9", strings.TrimSpace(string(pid)))
	r.await(string(pid))
}

// kill ends the process that a file names, and waits.
func (r *recorder) kill(name string) {
	pid, err := os.ReadFile(r.in(name))
	if err != nil {
		r.t.Fatal(err)
	}
	r.as("kill", "-9", strings.TrimSpace(string(pid)))
	r.await(string(pid))
}

func (r *recorder) await(pid string) {
	n, _ := strconv.Atoi(strings.TrimSpace(pid))
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for syscall.Kill(n, 0) == nil { // one that its parent has not collected is there for limactl
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("process %d does not end", n)
		}
	}
}

func (r *recorder) removing() {
	r.take("disk-delete-referenced", "instance: stopped\ndisk: free\nfail: referenced\n", "disk", "delete", "default")
	r.take("delete", "instance: stopped\nthen instance: absent\n", "delete", "-f", "default")
	r.as("mkdir", r.in())
	r.take("delete-torn", "instance: torn\nfail: torn\n", "delete", "-f", "default")
	r.as("rmdir", r.in())
	r.take("disk-delete", "disk: free\nthen disk: none\n", "disk", "delete", "-f", "default")
	r.limactl("disk", "create", "default", "--size=1073741824")
	r.as("ln", "-s", r.in(), filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	r.take("disk-delete-locked", "disk: locked\nthen disk: none\n", "disk", "delete", "-f", "default")
}

// failing records every command as it fails of something that really happens.
func (r *recorder) failing() {
	const denied = "fail: denied\n"
	closed := func(what string) func() {
		r.as("chmod", "500", what)
		return func() { r.as("chmod", "700", what) }
	}
	r.as("mkdir", "-p", filepath.Join(r.limaHome, "_disks"))
	open := closed(filepath.Join(r.limaHome, "_disks"))
	r.take("disk-create-denied", "disk: none\n"+denied, "disk", "create", "default", "--size=1073741824")
	open()
	r.limactl("disk", "create", "default", "--size=2147483648")
	r.take("disk-resize-shrink", "disk: free\nfail: shrink\n", "disk", "resize", "default", "--size=1073741824")
	open = closed(filepath.Join(r.limaHome, "_disks/default"))
	r.take("disk-delete-denied", denied, "disk", "delete", "-f", "default")
	open()
	r.as("ln", "-s", r.in(), filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	open = closed(filepath.Join(r.limaHome, "_disks/default"))
	r.take("disk-unlock-denied", denied, "disk", "unlock", "default")
	open()
	r.as("rm", filepath.Join(r.limaHome, "_disks/default/in_use_by"))
	r.as("chmod", "000", filepath.Join(r.limaHome, "_disks"))
	r.take("disk-list-denied", denied, "disk", "list", "--json")
	r.as("chmod", "700", filepath.Join(r.limaHome, "_disks"))

	open = closed(r.limaHome)
	r.take("create-denied", "instance: absent\n"+denied, "create", "--name=default", r.file)
	open()
	good := r.file
	r.file = r.put("broken.yaml", strings.Replace(r.config, "disk.raw", "nosuch.raw", 1))
	r.take("create-no-image", "instance: absent\nthen instance: stopped\nfail: no-image\n", "create", "--name=default", r.file)
	r.limactl("delete", "-f", "default")
	r.file = r.put("broken.yaml", strings.Replace(r.config, "cpus: 2", "cpus: -2x", 1))
	r.take("create-invalid", "instance: absent\nfail: invalid\n", "create", "--name=default", r.file)
	r.file = good
	r.limactl("create", "--name=default", r.file)
	r.take("create-exists", "fail: exists\n", "create", "--name=default", r.file)
	r.take("stop-stopped", "instance: stopped\nfail: stopped\n", "stop", "default")
	r.as("chmod", "000", r.limaHome)
	r.take("list-denied", denied, "list", "--json")
	r.as("chmod", "700", r.limaHome)

	r.qemu = "-device nosuch"
	r.take("start-qemu", "instance: stopped\nthen disk: locked\nfail: qemu\n", "start", "default")
	r.qemu = ""
	r.limactl("stop", "-f", "default")
	r.as("sh", "-c", "echo 1 > "+r.in("ha.pid"))
	r.take("start-seems-running", "instance: stopped\nfail: seems-running\n", "start", "default")
	r.as("rm", "-f", r.in("ha.pid"))
	r.as("sh", "-c", "rm -r "+r.in("disk")+"; sed -i s/disk.raw/nosuch.raw/ "+r.in("lima.yaml"))
	r.take("start-no-image", "instance: stopped\nfail: no-image\n", "start", "default")
	open = closed(r.in())
	r.take("delete-denied", denied, "delete", "-f", "default")
	r.take("stop-f-denied", denied, "stop", "-f", "default")
	open()
}
