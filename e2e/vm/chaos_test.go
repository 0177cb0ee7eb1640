//go:build e2e && linux

package vm_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// pidFile is the process that Lima notes in a file of the instance.
func pidFile(t *testing.T, e *lab.Engine, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.Home, "lima", "default", name))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// processes are the processes of this user whose command line has a text in it.
func processes(t *testing.T, text string) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		var st syscall.Stat_t
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || syscall.Stat(dir, &st) != nil || int(st.Uid) != os.Getuid() {
			continue
		}
		if strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill kills a process the hard way and waits until it is gone.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing %d: %v", pid, err)
	}
	lab.Eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// TestChaos kills everything that a command depends on, one after the other: the next
// command works, and nothing that was written is lost.
func TestChaos(t *testing.T) {
	e := machine(t)
	image := e.Busybox(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e *lab.Engine, image string)
	}{
		{"Agent", killAgent},
		{"Relay", killRelay},
		{"SSHMaster", killSSHMaster},
		{"Client", killClient},
		{"HostAgent", killHostAgent},
		{"Kernel", panicKernel},
		{"QEMU", killQEMU},
		{"TornInstance", tornInstance},
		{"ManyFirstCommands", manyFirstCommands},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, e, image) })
	}
}

// published runs a container with a published port and says where it answers.
func published(t *testing.T, e *lab.Engine, image, name string) string {
	t.Helper()
	port := freePort(t)
	must(t, e, "run", "-d", "--restart=always", "--name="+name, "-p", port+":80", image,
		"sh", "-c", "mkdir -p /www && echo page >/www/index.html && httpd -f -h /www")
	t.Cleanup(func() { e.Run(t, "rm", "-f", name) })
	return "http://127.0.0.1:" + port + "/"
}

func answers(t *testing.T, url string) {
	t.Helper()
	lab.Eventually(t, url, func() bool {
		text, err := fetch(url)
		return err == nil && text == "page\n"
	})
}

func startedAt(t *testing.T, e *lab.Engine, name string) string {
	t.Helper()
	return must(t, e, "inspect", "--format", "{{.State.StartedAt}}", name)
}

// killAgent: systemd starts it again, it adopts what runs; containers and ports do not notice.
func killAgent(t *testing.T, e *lab.Engine, image string) {
	url := published(t, e, image, "agent-box")
	answers(t, url)
	before := startedAt(t, e, "agent-box")
	e.Run(t, "vm", "shell", "sudo", "pkill", "-9", "-f", "linnet-agent guest")
	if after := startedAt(t, e, "agent-box"); after != before {
		t.Errorf("the container was started again: %s, before %s", after, before)
	}
	answers(t, url)
}

// killRelay: the next command starts another, and the ports are back.
func killRelay(t *testing.T, e *lab.Engine, image string) {
	url := published(t, e, image, "relay-box")
	answers(t, url)
	endRelays(t)
	must(t, e, "ps")
	answers(t, url)
	if n := len(processes(t, "vm relay")); n != 1 {
		t.Errorf("%d relays run", n)
	}
}

// killSSHMaster: linnet does not need it.
func killSSHMaster(t *testing.T, e *lab.Engine, image string) {
	url := published(t, e, image, "ssh-box")
	for _, pid := range processes(t, filepath.Join(e.Home, "lima", "default", "ssh.sock")) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one of several may have gone with another
	}
	must(t, e, "ps")
	answers(t, url)
}

// killClient: what it ran is ended, and the container that --rm promised to remove is removed.
func killClient(t *testing.T, e *lab.Engine, image string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := e.Command(ctx, "run", "--rm", "--network=none", "--name=orphan", image, "sh", "-c", "trap '' TERM; echo up; sleep 1000 & wait; sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("the container said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	lab.Eventually(t, "the container to be removed", func() bool {
		return must(t, e, "ps", "-a", "-q", "--filter", "name=orphan") == ""
	})
}

// killHostAgent: commands and ports do not need it; a restart brings it back.
func killHostAgent(t *testing.T, e *lab.Engine, image string) {
	url := published(t, e, image, "host-box")
	kill(t, pidFile(t, e, "ha.pid"))
	must(t, e, "ps")
	answers(t, url)
	r := e.Run(t, "vm", "start")
	if r.Code != 0 || !strings.Contains(r.Err, "engine restart") {
		t.Errorf("start does not say what to do: exit code %d, stderr %q", r.Code, r.Err)
	}
	must(t, e, "vm", "restart")
	answers(t, url)
}

// panicKernel: a kernel that panics starts again by itself; what is to run always, runs, its port
// is back, and whatever a command had answered for is there.
func panicKernel(t *testing.T, e *lab.Engine, image string) {
	url := published(t, e, image, "panic-box")
	answers(t, url)
	before := startedAt(t, e, "panic-box")
	panicAfterBuilds(t, e, image, panics(t, 30))
	panicAfterChanges(t, e, image)
	if after := startedAt(t, e, "panic-box"); after == before {
		t.Errorf("the container runs since %s: nothing has panicked", before)
	}
	answers(t, url)
}

// killQEMU: a power cut while a container writes. What it has synced is there afterwards, byte
// for byte.
func killQEMU(t *testing.T, e *lab.Engine, image string) {
	const script = `i=0; while true; do i=$((i+1)); dd if=/dev/urandom of=/data/$i bs=64k count=4 conv=fsync 2>/dev/null; sync; echo $i $(sha256sum </data/$i); done`
	must(t, e, "volume", "create", "power")
	cmd := e.Command(t.Context(), "run", "--rm", "--network=none", "-v", "power:/data", image, "sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		name, sum, _ := strings.Cut(lines.Text(), " ")
		sums[name] = strings.Fields(sum)[0]
		if len(sums) == 8 {
			kill(t, pidFile(t, e, "qemu.pid"))
			break
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the command ended well although its machine was cut off")
	}
	if len(sums) < 8 {
		t.Fatalf("the container wrote %d files", len(sums))
	}
	got := must(t, e, "run", "--rm", "--network=none", "-v", "power:/data", image, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i $(sha256sum </data/$i); done")
	for line := range strings.Lines(got) {
		name, sum, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Fields(sum)[0] != sums[name] {
			t.Errorf("file %s is not what was synced: %s, written %s", name, sum, sums[name])
		}
	}
}

// tornInstance: a machine whose files are damaged is made anew; what is on the data disk stays.
func tornInstance(t *testing.T, e *lab.Engine, image string) {
	must(t, e, "volume", "create", "torn")
	must(t, e, "run", "--rm", "--network=none", "-v", "torn:/data", image, "sh", "-c", "echo kept >/data/file; sync")
	must(t, e, "vm", "stop")
	if err := os.WriteFile(filepath.Join(e.Home, "lima", "default", "lima.yaml"), []byte("cpus: [half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, e, "run", "--rm", "--network=none", "-v", "torn:/data", image, "cat", "/data/file"); out != "kept" {
		t.Errorf("the volume holds %q", out)
	}
}

// manyFirstCommands: thirty-two at once against a stopped machine start one.
func manyFirstCommands(t *testing.T, e *lab.Engine, _ string) {
	must(t, e, "vm", "stop")
	var wg sync.WaitGroup
	results := make([]lab.Result, 32)
	for i := range results {
		wg.Go(func() { results[i] = e.Run(t, "ps", "-q") })
	}
	wg.Wait()
	starts := 0
	for i, r := range results {
		if r.Code != 0 {
			t.Errorf("command %d: exit code %d, stderr %q", i, r.Code, r.Err)
		}
		starts += strings.Count(r.Err, "starting the virtual machine: done")
	}
	if starts != 1 {
		t.Errorf("the machine was started %d times", starts)
	}
	if n := len(processes(t, "qemu-system")); n != 1 {
		t.Errorf("%d machines run", n)
	}
}
