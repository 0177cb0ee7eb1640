package nerdctl_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/oracle"
)

// TestParse reads what people type.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		argv []string
		path string
		want []string // Argv
	}{
		{[]string{"run", "-it", "--rm", "a", "sh", "-c", "ls -l"}, "run", []string{"run", "--interactive", "--tty", "--rm", "a", "sh", "-c", "ls -l"}},
		{[]string{"run", "-p80:80", "-p", "1:1", "-e=A=B", "a"}, "run", []string{"run", "--publish=80:80", "--publish=1:1", "--env=A=B", "a"}},
		{[]string{"run", "--rm=false", "a"}, "run", []string{"run", "--rm=false", "a"}},
		{[]string{"-n", "k8s.io", "ps", "-aq"}, "ps", []string{"--n=k8s.io", "ps", "--all", "--quiet"}},
		{[]string{"--debug", "ps"}, "ps", []string{"--debug", "ps"}},
		{[]string{"ps", "--debug"}, "ps", []string{"ps", "--debug"}},
		{[]string{"container", "list", "--namespace", "x"}, "container ls", []string{"container", "ls", "--namespace=x"}},
		{[]string{"rm", "a", "-f", "b"}, "rm", []string{"rm", "--force", "a", "b"}},
		{[]string{"rm", "--", "-f"}, "rm", []string{"rm", "--", "-f"}},
		{[]string{"rm", "a", "--", "b"}, "rm", []string{"rm", "a", "--", "b"}},
		{[]string{"rm", "a", "--"}, "rm", []string{"rm", "a", "--"}},
		{[]string{"exec", "c", "--", "-x"}, "exec", []string{"exec", "c", "--", "-x"}},
		{[]string{"compose", "-f", "a", "-f", "b", "up", "-d"}, "compose up", []string{"compose", "--f=a", "--f=b", "up", "--detach"}},
		{[]string{"run", "--name", "", "a", ""}, "run", []string{"run", "--name=", "a", ""}},
		{[]string{"logs", "-n", "5", "c"}, "logs", []string{"logs", "--tail=5", "c"}},
		{[]string{"run", "-h", "name", "a"}, "run", []string{"run", "--hostname=name", "a"}},
	} {
		inv, err := nerdctl.Parse(c.argv)
		if err != nil {
			t.Errorf("%q: %v", c.argv, err)
			continue
		}
		if have := strings.Join(inv.Path, " "); have != c.path || inv.Help || inv.Version {
			t.Errorf("%q is %+v", c.argv, inv)
		}
		if have := inv.Argv(); !slices.Equal(have, c.want) {
			t.Errorf("%q is %q, want %q", c.argv, have, c.want)
		}
	}
}

// TestHelpAndVersionAreReported, and then nothing else is checked.
func TestHelpAndVersionAreReported(t *testing.T) {
	for line, path := range map[string]string{
		"": "", "--help": "", "-h": "", "container": "container", "container -h": "container", "run --help": "run",
		"run --help a": "run", "stop -h": "stop", "compose": "compose", "completion nothing": "completion", "--help run": "",
	} {
		inv, err := nerdctl.Parse(strings.Fields(line))
		if err != nil || !inv.Help || strings.Join(inv.Path, " ") != path {
			t.Errorf("%q: %v, %+v", line, err, inv)
		}
	}
	for _, line := range []string{"--version", "-v"} {
		if inv, err := nerdctl.Parse(strings.Fields(line)); err != nil || !inv.Version || inv.Help {
			t.Errorf("%q: %v, %+v", line, err, inv)
		}
	}
}

// TestErrors holds every error of Parse to its exact text and hint.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ line, text, hint string }{
		{"pss", `unknown command "pss"`, `did you mean "ps"?`},
		{"contaner ls", `unknown command "contaner"`, `did you mean "container"?`},
		{"iamges", `unknown command "iamges"`, `did you mean "images"?`},
		{"xyzzy", `unknown command "xyzzy"`, ""},
		{"container lss", `container: unknown command "lss"`, `did you mean "container ls"?`},
		{"compose upp", `compose: unknown command "upp"`, `did you mean "compose up"?`},
		{"run --naem x a", "run: --naem is no flag of this command", `did you mean "--name"?`},
		{"run --frobnicate a", "run: --frobnicate is no flag of this command", ""},
		{"ps -x", "ps: -x is no flag of this command", ""},
		{"ps -ax", "ps: -x is no flag of this command", ""},
		{"ps -xa", "ps: -x is no flag of this command (in -xa)", ""},
		{"run --name", "run: --name needs a value", ""},
		{"run -itp", "run: -p needs a value", ""},
		{"--namespace", "--namespace needs a value", ""},
		{"run --cpus x a", `run: --cpus "x" is not a number`, ""},
		{"run --rm=maybe a", `run: --rm "maybe" is not true or false`, ""},
		{"run --pids-limit many a", `run: --pids-limit "many" is not a whole number`, ""},
		{"run --cpu-shares -1 a", `run: --cpu-shares "-1" is not a whole number in range, 0 or more`, ""},
		{"run --health-interval 5 a", `run: --health-interval "5" is not a duration such as "10s"`, ""},
		{`run --dns a"b c`, `run: --dns "a\"b" is not a comma-separated list`, ""},
		{"run ---x a", "run: ---x is not the form of a flag", ""},
		{"-h=1 ps", "--help must stand after the command or alone", ""},
		{"run", "run: needs at least 1 argument, got none", ""},
		{"exec c", "exec: needs at least 2 arguments, got 1", ""},
		{"rename a", "rename: needs exactly 2 arguments, got 1", ""},
		{"images a b", "images: takes at most 1 argument, got 2", ""},
		{"ps a", "ps: takes no arguments, got 1", ""},
		{"namespace update x", "namespace update: --label is required", ""},
	} {
		_, err := nerdctl.Parse(strings.Fields(c.line))
		if err == nil || err.Error() != c.text {
			t.Errorf("%s: have %v, want %s", c.line, err, c.text)
			continue
		}
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) && hinted.Hint() != c.hint || hinted == nil && c.hint != "" {
			t.Errorf("%s: the hint is not %q: %#v", c.line, c.hint, err)
		}
	}
}

// TestTypedValues reads values as nerdctl would.
func TestTypedValues(t *testing.T) {
	inv, err := nerdctl.Parse(strings.Fields("-n ns run --rm --dns 1,2 --dns 3 -e A=1,2 -e B --health-interval 10s a"))
	if err != nil {
		t.Fatal(err)
	}
	if !inv.Bool("rm") || inv.Bool("tty") || !inv.Bool("sig-proxy") || inv.IsSet("sig-proxy") {
		t.Error("a bool is wrong")
	}
	if inv.String("namespace") != "ns" || inv.String("pull") != "missing" || inv.String("address") != "" || inv.String("no-such") != "" {
		t.Error("a string is wrong")
	}
	if have := inv.Strings("dns"); !slices.Equal(have, []string{"1", "2", "3"}) {
		t.Errorf("dns is %q", have)
	}
	if have := inv.Strings("env"); !slices.Equal(have, []string{"A=1,2", "B"}) {
		t.Errorf("env is %q", have)
	}
	if inv.Duration("health-interval").Seconds() != 10 || inv.Duration("name") != 0 {
		t.Error("a duration is wrong")
	}
}

// TestInvocationsCanBeChanged and written again.
func TestInvocationsCanBeChanged(t *testing.T) {
	inv, err := nerdctl.Parse(strings.Fields("-n ns run -e A -e B --name x a"))
	if err != nil {
		t.Fatal(err)
	}
	inv.Remove("env")
	if !inv.Set("name", "y") || !inv.Set("namespace", "z") || !inv.Add("label", "l") || inv.Add("no-such", "") || inv.Set("no-such", "") {
		t.Error("a flag is not known")
	}
	inv.Args[0] = "-b"
	want := []string{"--n=z", "run", "--name=y", "--label=l", "--", "-b"}
	if have := inv.Argv(); !slices.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
}

// TestTypesAreKnown: each type of a value in the tables is one that Parse can read.
func TestTypesAreKnown(t *testing.T) {
	walk(func(path []string, c *nerdctl.Command) {
		for _, f := range c.Flags {
			inv, err := nerdctl.Parse(append(slices.Clone(path), "--"+f.Name))
			if f.NoOpt == "" {
				inv, err = nerdctl.Parse(append(slices.Clone(path), "--"+f.Name+"=\x00"))
			}
			if err != nil && strings.Contains(err.Error(), "unknown type") {
				t.Errorf("%q --%s: %v, %v", path, f.Name, inv, err)
			}
		}
	})
}

func walk(visit func(path []string, c *nerdctl.Command)) {
	var down func(path []string, c *nerdctl.Command)
	down = func(path []string, c *nerdctl.Command) {
		visit(path, c)
		for _, sub := range c.Commands {
			down(append(slices.Clone(path), sub.Name), sub)
		}
	}
	down(nil, nerdctl.Root())
}

// asAnswer puts an invocation into the oracle's words.
func asAnswer(inv *nerdctl.Invocation) oracle.Answer {
	a := oracle.Answer{Path: inv.Path, Args: inv.Args, Dash: inv.Dash, Help: inv.Help, Version: inv.Version}
	for _, v := range inv.Flags {
		if !v.Flag.Builtin {
			a.Flags = append(a.Flags, oracle.Value{Name: v.Flag.Name, Value: v.Value})
		}
	}
	return normal(a)
}

// normal makes no difference between an empty list and none.
func normal(a oracle.Answer) oracle.Answer {
	if len(a.Path) == 0 {
		a.Path = nil
	}
	// The words behind a group whose help is printed mean nothing, and Parse drops them.
	if nerdctl.Root().Find(a.Path...).Group {
		a.Args, a.Dash = nil, -1
	}
	if len(a.Args) == 0 {
		a.Args = nil
	}
	if len(a.Flags) == 0 {
		a.Flags = nil
	}
	return a
}

func difference(a, b *nerdctl.Invocation) string {
	if x, y := asAnswer(a), asAnswer(b); !reflect.DeepEqual(x, y) {
		return fmt.Sprintf("%+v, %+v", x, y)
	}
	return ""
}

// FuzzParse: no command line makes Parse panic, and what it accepts is read again as it is
// written.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"run\n-it\n--rm\na\nsh", "run\n-itp\n80", "-n\nx\nps\n-a", "compose\n-f\nx\nup", "exec\nc\n--\n-x", "run\n-e\n", "--\nps", "rm\n-\n--\n-f",
		"image\nls\n--format={{json .}}", "-h=1\nps", "completion\nbash\n-h", "run\n--cpus=\x00\na", "---\n--=\n-=", "ps\n-ax", "-test.v\nps", "container\nl\xff",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		inv, err := nerdctl.Parse(strings.Split(line, "\n"))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		argv := inv.Argv()
		back, err := nerdctl.Parse(argv)
		if err != nil {
			t.Fatalf("%q is written as %q, which is refused: %v", line, argv, err)
		}
		if d := difference(inv, back); d != "" {
			t.Fatalf("%q is written as %q, which differs: %s", line, argv, d)
		}
	})
}

// FuzzLocalize: no command line makes Localize panic or leaves a typed value of a variable
// on the command line, and what it makes is a command line.
func FuzzLocalize(f *testing.F) {
	for _, line := range []string{
		"run\n-eA=B\n-v\n./a:/b\na", "run\n--mount\ntype=bind,src=~/x,dst=/y\na", "build\n--secret\nid=a\n.", "cp\n/tmp/x\nc:/y", "cp\nc:/y\n/tmp/x/.",
		"load\n-i\n/tmp/x", "save\n-o\n/x\na", "run\n--env-file\n\"a,b\",/c\na", "build\n--ssh\ndefault\n.", "build\n-o\ntype=local,dest=/x\n.", "compose\n-f\n-\nup",
		"run\n--cidfile\n~\na", "image\ndecrypt\n--key\n:,x:y\na\nb", "run\n-v\n:::\na", "run\n--env==\na", "cp\n:\n.:", "import\n",
	} {
		f.Add(line, true)
		f.Add(line, false)
	}
	f.Fuzz(func(t *testing.T, line string, native bool) {
		inv, err := nerdctl.Parse(strings.Split(line, "\n"))
		if err != nil {
			return
		}
		h := there()
		if native {
			h = here()
		}
		p, err := nerdctl.Localize(inv, h)
		if err != nil {
			if native && !strings.Contains(err.Error(), "cannot be mounted") && !strings.Contains(err.Error(), "is not NAME=value") {
				t.Errorf("%q is refused where everything is visible: %v", line, err)
			}
			return
		}
		if native && !p.Direct() && !slices.Contains(inv.Path, "cp") { // what comes out of a container is written here
			t.Errorf("%q is not direct where everything is visible: %+v", line, p)
		}
		for _, v := range p.Invocation.Flags {
			if v.Name() == "env" && p.Invocation.Path[0] != "image" {
				t.Errorf("%q leaves %q", line, v.Value)
			}
		}
		argv := p.Argv(func(name string) string { return "/stage/" + name })
		if strings.Contains(strings.Join(argv, " "), "\x00stage:") && !strings.Contains(line, "\x00") {
			t.Errorf("%q leaves a placeholder: %q", line, argv)
		}
		if _, err := nerdctl.Parse(argv); err != nil && !strings.Contains(line, "\x00") {
			t.Errorf("%q becomes %q, which is refused: %v", line, argv, err)
		}
	})
}
