//go:build e2e && linux

package native_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// hasty is an engine that does not wait long for containers that do not listen: a shell or
// a sleep that is a container's first process never does.
func hasty(t testing.TB) *lab.Engine {
	t.Helper()
	e := lab.New(t)
	e.Env = append(e.Env, "LINNET_ENGINE_STOP_TIMEOUT=1s")
	return e
}

// layoutOf is where the engine's files are.
func layoutOf(e *lab.Engine) host.Layout {
	return host.Layout{Home: e.Home, Libexec: filepath.Join(lab.Root(), "libexec", "linnet")}
}

func engineStatus(t testing.TB, e *lab.Engine) guest.Status {
	t.Helper()
	var s guest.Status
	if err := json.Unmarshal([]byte(e.Must(t, "engine", "status", "--format", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func daemonNamed(t testing.TB, s guest.Status, name string) guest.Daemon {
	t.Helper()
	for _, d := range s.Daemons {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no %s in %+v", name, s)
	return guest.Daemon{}
}

func logOf(t testing.TB, e *lab.Engine, name string) string {
	t.Helper()
	text, err := os.ReadFile(layoutOf(e).Log(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

type proc struct {
	pid     int
	cmdline string
}

// processesOf lists what runs of an engine: whatever names its home, and whatever is in its
// control group (what parks published ports names nothing).
func processesOf(e *lab.Engine) []proc {
	var out []proc
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		cmdline := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.Contains(cmdline, e.Home+"/") || strings.Contains(string(groups), "/linnet-"+layoutOf(e).ID()+"\n") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			out = append(out, proc{pid, cmdline})
		}
	}
	return out
}

// nothingRuns checks that a stopped engine has no process, no mount, no socket.
func nothingRuns(t testing.TB, e *lab.Engine) {
	t.Helper()
	if left := processesOf(e); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, e.Home+"/") || strings.HasPrefix(point, layoutOf(e).Volatile()+"/") {
			t.Errorf("still mounted: %s", line)
		}
	}
	for _, pattern := range []string{layoutOf(e).Run() + "/*", layoutOf(e).ShimSockets() + "/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if info, err := os.Lstat(file); err == nil && info.Mode()&os.ModeSocket != 0 {
				t.Errorf("the socket %s is left", file)
			}
		}
	}
}

// sessionOf lists the living processes of a session.
func sessionOf(session int) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// After the name in parentheses: state, ppid, pgrp, session.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 3 && fields[3] == strconv.Itoa(session) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill9 kills processes and waits until they are gone with all their threads: the kernel
// takes connections to the sockets of one that is dying.
func kill9(t testing.TB, pids ...int) {
	t.Helper()
	var fds []int
	for _, pid := range pids {
		if pid <= 1 {
			t.Fatalf("pid %d", pid)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err) // but for one that has ended by itself
		}
	}
	for i, fd := range fds {
		lab.Eventually(t, fmt.Sprintf("process %d to be gone", pids[i]), func() bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
			return err == nil && n > 0
		})
	}
}

func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// rules lists the iptables rules that have one of the words.
func rules(t testing.TB, words ...string) string {
	t.Helper()
	out, err := exec.Command("iptables-save").Output()
	if err != nil {
		t.Fatalf("iptables-save: %v", err)
	}
	var found strings.Builder
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			found.WriteString(line)
		}
	}
	return found.String()
}

func interfaces(t testing.TB) []string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// bridgeOf is the interface that a network's configuration names.
func bridgeOf(t testing.TB, e *lab.Engine, network string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(layoutOf(e).NetConf(), "default", "nerdctl-"+network+".conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Plugins []struct {
			Bridge string `json:"bridge"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(text, &conf); err != nil || len(conf.Plugins) == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	return conf.Plugins[0].Bridge
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// page fetches a page from a published port, as soon as its server listens.
func page(t testing.TB, port string) string {
	t.Helper()
	var text []byte
	lab.Eventually(t, "the page on port "+port, func() bool {
		r, err := http.Get("http://127.0.0.1:" + port + "/index.html")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, err = io.ReadAll(r.Body)
		return err == nil && r.StatusCode == http.StatusOK
	})
	return string(text)
}
