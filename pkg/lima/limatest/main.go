package limatest

import (
	"bufio"
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/linnet-dev/linnet/pkg/host"
)

//go:embed recorded
var recorded embed.FS

// stage is the first argument of a process that plays a part of a machine.
const stage = "limatest"

// lifetime is how long such a process lives at most: no test takes longer.
const lifetime = 5 * time.Minute

// recording is one answer of the real limactl.
type recording struct {
	// argv may hold ${SIZE} and ${FILE}; state is what it was recorded in, "" standing for
	// any, and then what became of it.
	argv        []string
	state, then state
	// fail names what had been broken on purpose; empty where nothing was.
	fail string
	exit int

	stdout, stderr string
	// files are what it left in the instance's directory.
	files map[string]string
}

// parse reads a recording.
func parse(name string, text []byte) (r recording, err error) {
	archive := txtar.Parse(text)
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "argv":
			r.argv = strings.Fields(value)
		case "instance":
			r.state.instance = value
		case "disk":
			r.state.disk = value
		case "then instance":
			r.then.instance = value
		case "then disk":
			r.then.disk = value
		case "fail":
			r.fail = value
		case "exit":
			r.exit, err = strconv.Atoi(value)
		default:
			if key != "" && !strings.HasPrefix(key, "#") {
				err = fmt.Errorf("%s: %q is not a key", name, key)
			}
		}
		if err != nil {
			return r, err
		}
	}
	r.files = map[string]string{}
	for _, f := range archive.Files {
		switch f.Name {
		case "stdout":
			r.stdout = string(f.Data)
		case "stderr":
			r.stderr = string(f.Data)
		default:
			r.files[f.Name] = string(f.Data)
		}
	}
	return r, nil
}

// recordings are all of them.
func recordings() (all []recording, err error) {
	entries, err := recorded.ReadDir("recorded")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := recorded.ReadFile("recorded/" + e.Name())
		if err != nil {
			return nil, err
		}
		r, err := parse(e.Name(), text)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Main is limactl, or a process of a machine; it returns the exit code.
func Main() int {
	executable, err := os.Executable()
	if err != nil {
		return loud(err.Error())
	}
	if len(os.Args) > 2 && os.Args[1] == stage {
		return play(os.Args[2])
	}
	c := call{
		world:   world{home: os.Getenv("LIMA_HOME"), executable: executable},
		control: filepath.Dir(executable),
		argv:    slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return a == "--tty=false" || a == "--log-format=json" }),
	}
	if len(c.argv) != len(os.Args)-3 {
		return loud(fmt.Sprintf("%q lacks a flag that keeps it from asking, or the one for a log in JSON", os.Args[1:]))
	}
	if c.world.home == "" || os.Getenv("HOME") == "" {
		return loud("LIMA_HOME or HOME is not set")
	}
	return c.run()
}

// play is a process of a machine: it lives while a file does. The machine itself has a power
// button.
func play(file string) int {
	if filepath.Base(file) == "qemu.pid" {
		go serveButton(filepath.Dir(file))
	}
	end := time.After(lifetime)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return 0
		case <-tick.C:
			if !exists(file) {
				return 0
			}
		}
	}
}

// serveButton is QEMU's socket: when the button is pressed, the machine goes off, and its host
// agent with it.
func serveButton(dir string) {
	listener, err := net.Listen("unix", filepath.Join(dir, "qmp.sock"))
	if err != nil {
		return // there is one, of a machine that was killed
	}
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprintln(c, `{"QMP": {}}`)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			fmt.Fprintln(c, `{"return": {}}`)
			if strings.Contains(lines.Text(), "system_powerdown") {
				for _, name := range []string{"qmp.sock", "ha.pid", "qemu.pid"} {
					_ = os.Remove(filepath.Join(dir, name)) // another is gone already
				}
			}
		}
		c.Close()
	}
}

// call is one command.
type call struct {
	world
	control string
	argv    []string
	bound   map[string]string // what ${SIZE} and ${FILE} stand for
}

func (c *call) run() int {
	all, err := recordings()
	if err != nil {
		return loud(err.Error())
	}
	s := observe(c.home)
	fail := c.failure()
	for _, r := range all {
		if r.fail != fail || r.state.instance != "" && r.state.instance != s.instance || r.state.disk != "" && r.state.disk != s.disk {
			continue
		}
		if c.bound = bind(r.argv, c.argv); c.bound == nil {
			continue
		}
		if err := c.answer(r, s); err != nil {
			return loud(err.Error())
		}
		return r.exit
	}
	text := fmt.Sprintf("not recorded: %q with the instance %s, the disk %s, and the failure %q", c.argv, s.instance, s.disk, fail)
	c.log(text)
	return loud(text)
}

// failure is what the command is to fail of.
func (c *call) failure() string {
	var words []string
	for _, arg := range c.argv {
		if strings.HasPrefix(arg, "/") || arg == host.DefaultInstance || strings.HasPrefix(arg, "--") && arg != "--version" {
			break
		}
		words = append(words, arg)
	}
	text, err := os.ReadFile(filepath.Join(c.control, "fail", strings.Join(words, "-")))
	if err != nil {
		return ""
	}
	return string(text)
}

// bind matches a command with a recorded one, and returns what its placeholders stand for;
// nil when it is another.
func bind(pattern, argv []string) map[string]string {
	if len(pattern) != len(argv) {
		return nil
	}
	bound := map[string]string{}
	for i, p := range pattern {
		before, name, found := strings.Cut(p, "${")
		if !found {
			if p != argv[i] {
				return nil
			}
			continue
		}
		value, ok := strings.CutPrefix(argv[i], before)
		if !ok || value == "" {
			return nil
		}
		bound[strings.TrimSuffix(name, "}")] = value
	}
	return bound
}

// answer does what was recorded: to the files, and in words.
func (c *call) answer(r recording, s state) error {
	if r.then != (state{}) || r.exit != 0 || r.fail != "" {
		c.log(strings.Join(c.argv, " "))
	}
	for name, text := range r.files { // as the real one: before there is a machine
		if err := write(filepath.Join(c.instance(), name), c.fill(text, s), 0o600); err != nil {
			return err
		}
	}
	if r.argv[0] == "start" && r.exit == 0 {
		if err := c.leave(); err != nil {
			return err
		}
	}
	if err := c.change(r, s); err != nil {
		return err
	}
	after := observe(c.home)
	fmt.Fprint(os.Stdout, c.fill(r.stdout, after))
	fmt.Fprint(os.Stderr, c.fill(r.stderr, after))
	return nil
}

// leave writes what a test wants a start to leave.
func (c *call) leave() error {
	left, _ := filepath.Glob(filepath.Join(c.control, leave, "*")) // the pattern is right
	for _, path := range left {
		text, err := os.ReadFile(path)
		if err == nil {
			err = write(filepath.Join(c.instance(), filepath.Base(path)), string(text), 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill puts this test's values in the place of those that a recording had.
func (c *call) fill(text string, s state) string {
	size := strconv.FormatInt(s.size, 10)
	if asked := c.bound["SIZE"]; asked != "" {
		size = asked
	}
	return strings.NewReplacer(
		"${LIMA_HOME}", c.home, "${HOME}", os.Getenv("HOME"), "${USER}", os.Getenv("USER"), "${FILE}", c.bound["FILE"],
		"${SIZE}", size, "${HOSTAGENT}", strconv.Itoa(s.hostAgent), "${DRIVER}", strconv.Itoa(s.driver),
	).Replace(text)
}

func (c *call) change(r recording, s state) error {
	switch r.then.instance {
	case "":
	case "absent":
		if err := c.become("stopped"); err != nil {
			return err
		}
		if err := os.RemoveAll(c.instance()); err != nil {
			return err
		}
	default:
		if file := c.bound["FILE"]; file != "" {
			config, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := write(filepath.Join(c.instance(), "lima.yaml"), string(config), 0o644); err != nil {
				return err
			}
		}
		if err := c.become(r.then.instance); err != nil {
			return err
		}
	}
	if r.then.disk == "none" {
		return os.RemoveAll(c.disk())
	}
	if r.then.disk != "" {
		size := s.size
		if asked := c.bound["SIZE"]; asked != "" {
			var err error
			if size, err = strconv.ParseInt(asked, 10, 64); err != nil {
				return err
			}
		}
		if err := c.putDisk(size, r.then.disk); err != nil {
			return err
		}
	}
	if r.argv[0] != "start" || r.exit != 0 {
		return nil
	}
	c.hold()
	return write(filepath.Join(c.instance(), answers), "", 0o600)
}

// hold waits for Release.
func (c *call) hold() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for exists(filepath.Join(c.control, "hold")) {
		<-tick.C
	}
}

// log adds a line to the calls.
func (c *call) log(text string) {
	path := filepath.Join(c.control, "calls")
	_ = os.MkdirAll(c.control, 0o755) // the next line says so
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	fmt.Fprintln(f, text)
}

// loud fails in a way that no recording does.
func loud(text string) int {
	fmt.Fprintf(os.Stderr, "{\"level\":\"fatal\",\"msg\":%q}\n", "limatest: "+text)
	return 99
}
