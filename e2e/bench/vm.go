//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// vmSettings are of a small machine. Nothing in it needs a registry.
const vmSettings = "backend: lima\nvm:\n  cpus: 2\n  memory: 3GiB\n  disk: 20GiB\n"

// machine is the virtual machine that is measured, and the other ways into it.
type machine struct {
	*lab.Engine
	limactl string
	env     []string
	lima    []string // env with LIMA_HOME
	ssh     []string // multiplexed over Lima's own master
}

func newMachine(e *lab.Engine) (*machine, error) {
	if err := os.MkdirAll(e.Home, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(e.Home, "linnet.yaml"), []byte(vmSettings), 0o600); err != nil {
		return nil, err
	}
	home := filepath.Join(e.Home, "lima")
	return &machine{
		Engine: e, env: e.Environ(), lima: append(e.Environ(), "LIMA_HOME="+home, emulator),
		limactl: filepath.Join(lab.Root(), "libexec", "linnet", "bin", "limactl"),
		ssh:     []string{"ssh", "-F", filepath.Join(home, "default", "ssh.config"), "lima-default"},
	}, nil
}

// emulator is how limactl is told to emulate, as linnet tells it where KVM does not work.
const emulator = "QEMU_SYSTEM_X86_64=qemu-system-x86_64 -machine q35,vmport=off -accel tcg,thread=multi,tb-size=1024"

func (m *machine) linnet(args ...string) error {
	cmd := exec.Command(lab.Linnet(), args...)
	cmd.Env = m.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("linnet %q: %w\n%s", args, err, out)
	}
	return nil
}

// runVM measures what the virtual machine costs, beside the other ways into the same one.
func (b *bench) runVM() error {
	var err error
	if b.dir, err = os.MkdirTemp("", "linnet-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	engine, done, err := lab.Open()
	if err != nil {
		return err
	}
	defer done()
	m, err := newMachine(engine)
	if err != nil {
		return err
	}
	if err := m.linnet("ps"); err != nil {
		return err
	}
	// Lima's own boot scripts are still at work when the first command is answered; what is
	// compared is a machine at rest.
	if err := m.settled(); err != nil {
		return err
	}
	x := m.builders(filepath.Join(m.User, "builds"), b.smaller)
	for _, part := range []struct {
		name string
		run  func(*machine) error
	}{
		{"start", func(m *machine) error { return errors.Join(b.forwarded(m), x.container(b)) }},
		{"throughput", b.throughput},
		{"build", func(*machine) error { return b.builds(x) }},
		{"boot", func(m *machine) error { return errors.Join(b.starting(m), b.phases(m)) }},
	} {
		if !b.has(part.name) {
			continue
		}
		if err := part.run(m); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until limactl has called the machine READY.
func (m *machine) settled() error {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		cmd := exec.Command(m.ssh[0], append(m.ssh[1:], "test", "-e", "/run/lima-boot-done")...)
		cmd.Env = m.lima
		if cmd.Run() == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("waiting for Lima's boot scripts: they do not end")
		}
		time.Sleep(time.Second) //nolint:forbidigo // a poll for a state, with a deadline
	}
}

// timed runs a command in the machine and tells how long it took there, where no way there counts.
const timed = `a=$EPOCHREALTIME; "$@"; s=$?; b=$EPOCHREALTIME; echo TOOK $((${b/./} - ${a/./})); exit $s`

// inEngine is how nerdctl and buildctl find the engine in the machine.
var inEngine = []string{
	"sudo", "env", "NERDCTL_TOML=/var/lib/linnet/native/etc/nerdctl.toml", "BUILDKIT_HOST=unix:///var/lib/linnet/native/run/buildkitd.sock",
	"PATH=/usr/libexec/linnet/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

// there is a command of the machine, timed in there. No word may hold an apostrophe.
func (m *machine) there(argv ...string) command {
	quoted := slices.Concat(m.ssh, inEngine, []string{"bash", "-c", "'" + timed + "'", "bash"})
	for _, word := range argv {
		quoted = append(quoted, "'"+word+"'")
	}
	return command{Name: argv[0], argv: quoted, env: m.lima, inside: inside}
}

// builders build in the machine. nerdctl and buildctl run in there, and read contexts from dir through
// the mount of the home directory. Through that, an emulated one reads some megabytes a second.
func (m *machine) builders(dir string, smaller int) *builders {
	return &builders{linnet: lab.Linnet(), env: m.env, dir: dir, there: m.there, where: ", in the virtual machine", smaller: smaller}
}

var took = regexp.MustCompile(`TOOK (\d+)\n$`)

func inside(out []byte) (time.Duration, []byte, error) {
	m := took.FindSubmatch(out)
	if m == nil {
		return 0, out, errors.New("it did not say how long it took")
	}
	us, err := strconv.Atoi(string(m[1]))
	return time.Duration(us) * time.Microsecond, bytes.TrimSuffix(out, m[0]), err
}

func (b *bench) forwarded(m *machine) error {
	ps := append(slices.Clone(inEngine), "nerdctl", "ps")
	inGuest := m.there("nerdctl", "ps")
	inGuest.Name = "nerdctl ps, inside"
	return b.group("a forwarded command, in the virtual machine", true, []command{
		inGuest,
		{Name: "linnet ps", argv: []string{lab.Linnet(), "ps"}, env: m.env, within: 15 * time.Millisecond},
		{
			Name: "linnet ps, cold", argv: []string{lab.Linnet(), "-q", "ps"}, env: m.env,
			before: func() error { return exec.Command("pkill", "-f", lab.Linnet()+" vm relay").Run() },
		},
		{Name: "multiplexed ssh", argv: slices.Concat(m.ssh, ps), env: m.lima},
		{Name: "limactl shell", argv: slices.Concat([]string{m.limactl, "shell", "--workdir", "/", "default"}, ps), env: m.lima},
		{
			Name: "as finch does", env: m.lima,
			argv: append([]string{"sh", "-c", `"$0" ls -f '{{.Status}}' default >/dev/null && "$0" shell --workdir / default "$@"`, m.limactl}, ps...),
		},
	})
}

// throughput compares what streams into the machine.
func (b *bench) throughput(m *machine) error {
	file := filepath.Join(b.dir, "context")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := f.Truncate(contextSize); err != nil {
		return err
	}
	f.Close()
	rounds := b.rounds
	b.rounds = min(rounds, 5)
	defer func() { b.rounds = rounds }()
	return b.group(fmt.Sprintf("%d MiB into the virtual machine", contextSize>>20), true, []command{
		{Name: "raw ssh", argv: slices.Concat(m.ssh, []string{"cat", ">/dev/null"}), env: m.lima, stdin: file},
		{Name: "linnet", argv: []string{lab.Linnet(), "vm", "shell", "sh", "-c", "cat >/dev/null"}, env: m.env, stdin: file},
	})
}

const contextSize = 64 << 20

// starting compares the start of a stopped machine up to the first answer with limactl's own
// start of the same one.
func (b *bench) starting(m *machine) error {
	rounds := b.rounds
	b.rounds = b.starts
	defer func() { b.rounds = rounds }()
	stop := func() error { return m.linnet("vm", "stop") }
	return b.group("from stopped", false, []command{
		{Name: "limactl start to READY", argv: []string{m.limactl, "--tty=false", "start", "default"}, env: m.lima, before: stop},
		{Name: "linnet ps", argv: []string{lab.Linnet(), "ps"}, env: m.env, before: stop, ratio: 0.5},
	})
}

var (
	earlyUp   = regexp.MustCompile(`\[ *([0-9.]+)\] linnet-early: up`)
	connected = regexp.MustCompile(`msg="connected to the guest" after=(\S+)`)
)

// phases takes one start apart, by what the kernel, the relay and the process table say of it.
func (b *bench) phases(m *machine) error {
	if err := m.linnet("vm", "stop"); err != nil {
		return err
	}
	begun := time.Now()
	if err := m.linnet("ps"); err != nil {
		return err
	}
	total := time.Since(begun)
	dir := filepath.Join(m.Home, "lima", "default")
	file, err := os.Stat(filepath.Join(dir, "qemu.pid"))
	if err != nil {
		return err
	}
	up, err := lastMatch(filepath.Join(dir, "serial.log"), earlyUp, "s")
	if err != nil {
		return err
	}
	channel, err := lastMatch(filepath.Join(m.Home, "vm", "default", "log", "relay.log"), connected, "")
	if err != nil {
		return err
	}
	emulator := file.ModTime().Sub(begun)
	for _, phase := range []struct {
		name string
		took time.Duration
	}{
		{"linnet, limactl: to QEMU", emulator},
		{"QEMU, kernel, linnet-early", up},
		{"sshd, agent: to a channel", channel - up - emulator},
		{"engine ready, ps", total - channel},
		{"all", total},
	} {
		b.results = append(b.results, result{Group: "one start, by phase", Name: phase.name, Wall: phase.took})
	}
	return nil
}

// lastMatch is the last duration in a log that the expression's group gives.
func lastMatch(path string, e *regexp.Regexp, unit string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	all := e.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("%s does not say %q", path, e)
	}
	return time.ParseDuration(string(all[len(all)-1][1]) + unit)
}
