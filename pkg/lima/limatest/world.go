package limatest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// answers is the file in an instance's directory that stands for an agent that answers.
const answers = "agent-answers"

// world is a LIMA_HOME and what is in it.
type world struct {
	home, executable string
}

func (w world) instance() string { return filepath.Join(w.home, host.DefaultInstance) }
func (w world) disk() string     { return filepath.Join(w.home, "_disks", host.DefaultInstance) }

// state is what a recording was made in.
type state struct {
	instance, disk    string
	hostAgent, driver int
	size              int64
}

// observe reads the state from the files.
func observe(home string) (s state) {
	w := world{home: home}
	s.hostAgent, s.driver = living(w.instance(), "ha.pid"), living(w.instance(), "qemu.pid")
	config, err := os.ReadFile(filepath.Join(w.instance(), "lima.yaml"))
	switch {
	case !exists(w.instance()):
		s.instance = "absent"
	case err != nil:
		s.instance = "torn"
	case !strings.Contains(string(config), "vmType: "):
		s.instance = "unreadable"
	case s.hostAgent != 0 && s.driver != 0:
		s.instance = "running"
	case s.driver != 0:
		s.instance = "orphaned"
	case s.hostAgent != 0:
		s.instance = "hollow"
	default:
		s.instance = "stopped"
	}
	data, err := os.ReadFile(filepath.Join(w.disk(), "datadisk"))
	size, known := strings.CutPrefix(string(data), "size ")
	s.size, _ = strconv.ParseInt(size, 10, 64)
	switch {
	case !exists(w.disk()):
		s.disk = "none"
	case err != nil:
		s.disk = "torn"
	case !known:
		s.disk = "broken"
	case exists(filepath.Join(w.disk(), "in_use_by")):
		s.disk = "locked"
	default:
		s.disk = "free"
	}
	return s
}

// living is the process that a file names, 0 when it does not live.
func living(dir, name string) int {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || syscall.Kill(pid, 0) != nil || zombie(pid) {
		return 0
	}
	return pid
}

// kill ends a process of a fake, and waits for its end. Its number may be another's by now.
func (w world) kill(pid int) {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !strings.Contains(string(command), w.executable) {
		return
	}
	if pid <= 1 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
		<-tick.C
	}
}

func zombie(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // none where there is no /proc
	return strings.Contains(string(text), ") Z ")
}

// become starts and ends processes until the instance is as it is to be.
func (w world) become(instance string) error {
	wants := map[string]bool{
		"ha.pid":   instance == "running" || instance == "hollow",
		"qemu.pid": instance == "running" || instance == "orphaned",
	}
	for name, wanted := range wants {
		path := filepath.Join(w.instance(), name)
		pid := living(w.instance(), name)
		switch {
		case wanted && pid == 0:
			if err := write(path, "", 0o600); err != nil {
				return err
			}
			pid, err := process(w.executable, path)
			if err != nil {
				return err
			}
			if err := write(path, strconv.Itoa(pid)+"\n", 0o600); err != nil {
				return err
			}
		case !wanted && pid != 0:
			w.kill(pid)
			fallthrough
		case !wanted:
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	if wants["qemu.pid"] {
		return nil
	}
	return errors.Join(os.RemoveAll(filepath.Join(w.instance(), answers)), os.RemoveAll(filepath.Join(w.instance(), "qmp.sock")))
}

// putDisk makes the data disk: "free", "locked", "torn" or "broken".
func (w world) putDisk(size int64, is string) error {
	if err := os.MkdirAll(w.disk(), 0o700); err != nil {
		return err
	}
	data, lock := filepath.Join(w.disk(), "datadisk"), filepath.Join(w.disk(), "in_use_by")
	var err error
	switch is {
	case "torn":
		return nil
	case "broken":
		err = write(data, "junk", 0o600)
	default:
		err = write(data, fmt.Sprintf("size %d", size), 0o600)
	}
	if is == "locked" && !exists(lock) {
		err = errors.Join(err, os.Symlink(w.instance(), lock))
	}
	if is == "free" {
		err = errors.Join(err, os.RemoveAll(lock))
	}
	return err
}

// process starts this program as one of a machine's processes; it lives while a file does.
func process(executable, file string, files ...*os.File) (int, error) {
	started, err := host.Daemon{
		Argv: []string{executable, stage, file}, Env: []string{"GORACE=atexit_sleep_ms=0"}, Dir: "/",
		Log: os.DevNull, ExtraFiles: files,
	}.Start()
	if err != nil {
		return 0, err
	}
	go func() { _ = started.Wait() }() // so that it does not stay uncollected
	return started.PID, nil
}
