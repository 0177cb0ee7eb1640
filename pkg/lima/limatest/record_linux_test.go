package limatest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// recorder runs the real limactl as an ordinary user and writes down what it says.
type recorder struct {
	t          *testing.T
	u          *user.User
	libexec    string
	limaHome   string
	config     string
	qemu       string // further flags of QEMU
	credential *syscall.Credential
	file       string // what ${FILE} stands for
}

// TestRecord records everything that the fake knows. It boots the real image twice, takes some
// minutes and needs root, to make the ordinary user that limactl wants.
func TestRecord(t *testing.T) {
	if os.Getenv("RECORD_LIMACTL") == "" {
		t.Skip("make record-limactl does this")
	}
	r := newRecorder(t)
	old, err := filepath.Glob("recorded/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	r.disks()
	r.creating()
	r.running()
	r.removing()
	r.failing()
}

func newRecorder(t *testing.T) *recorder {
	const name = "linnet-record"
	libexec, err := filepath.Abs("../../../libexec/linnet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := user.Lookup(name); err != nil {
		if out, err := exec.Command("useradd", "--create-home", "--shell", "/bin/bash", name).CombinedOutput(); err != nil {
			t.Fatalf("making the user %s: %v: %s", name, err, out)
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	r := &recorder{
		t: t, u: u, libexec: libexec, limaHome: filepath.Join(u.HomeDir, "lima"),
		credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}
	t.Cleanup(func() {
		r.as("sh", "-c", "chmod -R u+rwx "+r.limaHome)
		r.limactl("delete", "-f", "default")
		os.RemoveAll(r.limaHome)
	})
	os.RemoveAll(r.limaHome)
	r.as("mkdir", "-p", r.limaHome)
	r.writeConfig()
	return r
}

// writeConfig makes a golden configuration one for this host.
func (r *recorder) writeConfig() {
	text, err := os.ReadFile("../testdata/linux-amd64-tcg.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	cmdline, err := os.ReadFile(filepath.Join(r.libexec, "image/x86_64/cmdline.tcg"))
	if err != nil {
		r.t.Fatalf("make image first: %v", err)
	}
	r.config = strings.NewReplacer(
		"/opt/linnet/libexec/linnet", r.libexec, "/home/ada", r.u.HomeDir, "quiet mitigations=off", strings.TrimSpace(string(cmdline)),
		"cpus: 4", "cpus: 2", "memory: 8192MiB", "memory: 1024MiB",
	).Replace(string(text))
	r.file = r.put("machine.yaml", r.config)
}

// put writes a file that the user can read.
func (r *recorder) put(name, text string) string {
	path := filepath.Join(r.u.HomeDir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *recorder) in(elem ...string) string {
	return filepath.Join(append([]string{r.limaHome, "default"}, elem...)...)
}

// as runs a command as the user.
func (r *recorder) as(argv ...string) (stdout, stderr string, code int) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.u.HomeDir
	cmd.Env = []string{
		"HOME=" + r.u.HomeDir, "USER=" + r.u.Username, "LOGNAME=" + r.u.Username, "LIMA_HOME=" + r.limaHome, "PATH=" + os.Getenv("PATH"),
		"QEMU_SYSTEM_X86_64=qemu-system-x86_64 -machine q35,vmport=off -accel tcg,thread=multi,tb-size=1024 " + r.qemu,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.credential, Setsid: true}
	var out, log bytes.Buffer
	// Files, so that nothing waits for those who inherit them.
	outFile, errFile := r.scratch("out"), r.scratch("err")
	defer outFile.Close()
	defer errFile.Close()
	cmd.Stdout, cmd.Stderr = outFile, errFile
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		r.t.Fatalf("%q: %v", argv, err)
	}
	for buffer, f := range map[*bytes.Buffer]*os.File{&out: outFile, &log: errFile} {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			r.t.Fatal(err)
		}
		buffer.Write(text)
	}
	return out.String(), log.String(), cmd.ProcessState.ExitCode()
}

func (r *recorder) scratch(name string) *os.File {
	f, err := os.Create(filepath.Join(r.t.TempDir(), name))
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *recorder) limactl(args ...string) (stdout, stderr string, code int) {
	return r.as(append([]string{filepath.Join(r.libexec, "bin/limactl"), "--tty=false", "--log-format=json"}, args...)...)
}

// take records one command. The head is lines of keys and values: the states, and what is
// broken on purpose.
func (r *recorder) take(name, head string, args ...string) {
	r.t.Helper()
	r.t.Logf("%s: limactl %s", name, strings.Join(args, " "))
	if args[0] == "start" {
		r.as("rm", "-f", r.in("ssh.config"), r.in("ha.stderr.log"))
	}
	stdout, stderr, code := r.limactl(args...)
	if fails := strings.Contains(head, "fail"); !fails && code != 0 {
		r.t.Fatalf("it failed: %s", stderr)
	}
	pattern := slices.Clone(args)
	for i, arg := range pattern {
		if flag, _, found := strings.Cut(arg, "--size="); found {
			pattern[i] = flag + "--size=${SIZE}"
		}
		if arg == r.file {
			pattern[i] = "${FILE}"
		}
	}
	comment := "argv: " + strings.Join(pattern, " ") + "\n" + head
	if code != 0 {
		comment += fmt.Sprintf("exit: %d\n", code)
	}
	a := &txtar.Archive{Comment: []byte(comment)}
	add := func(name, text string) {
		if text != "" {
			a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(r.neutral(text))})
		}
	}
	add("stdout", stdout)
	add("stderr", stderr)
	if args[0] == "start" {
		for _, name := range []string{"ssh.config", "ha.stderr.log"} {
			text, err := os.ReadFile(r.in(name))
			if err != nil && code == 0 {
				r.t.Fatal(err)
			}
			if name == "ssh.config" || code != 0 {
				add(name, withoutDebug(string(text)))
			}
		}
	}
	path := filepath.Join("recorded", name+".txtar")
	if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// withoutDebug drops what a log says to those who look for a mistake in Lima itself.
func withoutDebug(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"level":"debug"`) || strings.Contains(line, "qemu[stderr]") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// What differs from one recording to the next.
var (
	times  = regexp.MustCompile(`"time":"[^"]*"`)
	port   = regexp.MustCompile(`("sshLocalPort":|SSH Local Port: |Port |SSHLocalPort:)[1-9]\d*`)
	agent  = regexp.MustCompile(`("hostAgentPID":|hostagent process |host agent process )\d+`)
	driver = regexp.MustCompile(`("driverPID":|qemu driver process )\d+`)
	sizes  = regexp.MustCompile(`("name":"default","size":)\d+`)
	uid    = regexp.MustCompile(`"uid":\d+`)
	human  = regexp.MustCompile("with size [0-9.]+[KMGT]iB")
	engine = regexp.MustCompile(`\(https?://[^)]*\)`)
	iso    = regexp.MustCompile(`diskfs_iso\d+`)
)

func (r *recorder) neutral(text string) string {
	text = strings.NewReplacer(
		r.file, "${FILE}", r.limaHome, "${LIMA_HOME}", r.u.HomeDir, "${HOME}", r.u.Username, "${USER}", r.libexec, "/opt/linnet/libexec/linnet",
	).Replace(text)
	for pattern, plain := range map[*regexp.Regexp]string{
		times: `"time":"2026-01-02T03:04:05Z"`, port: "${1}60022", agent: "${1}$${HOSTAGENT}", driver: "${1}$${DRIVER}",
		sizes: "${1}$${SIZE}", uid: `"uid":1000`, human: "with size 100GiB", engine: "", iso: "diskfs_iso1",
	} {
		text = pattern.ReplaceAllString(text, plain)
	}
	return text
}
