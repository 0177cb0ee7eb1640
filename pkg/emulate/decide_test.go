package emulate

import (
	"errors"
	"reflect"
	"testing"
)

const answer = `machine x86_64
uid 0
kernel yes
status enabled
entry linnet-1-aarch64
 enabled
 interpreter /usr/bin/qemu-aarch64-static
 flags: POCF
 offset 0
 magic 7f454c460201010000000000000000000200b700
 mask ffffffffffffff00fffffffffffffffffeffffff
entry python3.11
 enabled
 interpreter /usr/bin/python3.11
 flags: 
 offset 0
 magic a70d0d0a
entry cli
 disabled
 interpreter /usr/bin/cli
 flags: 
 extension .exe
host 7
ran amd64 7
ran arm64 7
ran 386 0
ran riscv64 127
ran arm none
`

func TestAnAnswerIsRead(t *testing.T) {
	f := parse(answer)
	if f.Machine != "x86_64" || f.User != 0 || !f.Kernel || !f.Mounted || !f.Enabled || f.host != owner || len(f.Entries) != 3 {
		t.Errorf("got %+v", f)
	}
	if want := map[string]int{"amd64": 7, "arm64": 7, "386": 0, "riscv64": 127, "arm": -1}; !reflect.DeepEqual(f.Ran, want) {
		t.Errorf("ran %v", f.Ran)
	}
	e := f.Entries[0]
	if e.Name != "linnet-1-aarch64" || e.Interpreter != "/usr/bin/qemu-aarch64-static" || !e.Has("FC") || e.Has("X") || !e.Runs(arch(t, "arm64")) {
		t.Errorf("got %+v", e)
	}
	if got := f.Entries[2].Extension; got != "exe" {
		t.Errorf("the extension is %q", got)
	}
	for _, e := range f.Entries[1:] {
		for _, a := range Architectures() {
			if e.Runs(a) {
				t.Errorf("%s runs %s", e.Name, a.Name)
			}
		}
	}
	if f := parse("nonsense\n"); f.Mounted || f.User != -1 || len(f.Entries) != 0 {
		t.Errorf("got %+v", f)
	}
	if e := ParseEntry("x", "enabled\noffset 400\nmagic 00\n"); e.Runs(arch(t, "arm64")) {
		t.Error("an entry that looks behind the program's end runs it")
	}
}

func TestJudge(t *testing.T) {
	arm := arch(t, "arm64")
	const qemu = "/usr/bin/qemu-aarch64-static"
	// A machine that lacks nothing, and has been asked nothing.
	good := func(change func(*Facts)) Facts {
		f := Facts{
			Machine: "x86_64", Kernel: true, Mounted: true, Enabled: true, Own: "linnet-1-", host: owner,
			Emulators: map[string]Emulator{"arm64": {qemu, true}}, Ran: map[string]int{},
		}
		change(&f)
		return f
	}
	with := func(flags string, ran ...int) Facts {
		return good(func(f *Facts) {
			f.Entries = []Entry{entryOf(t, arm, "qemu-aarch64", qemu, flags)}
			for _, code := range ran {
				f.Ran["arm64"] = code
			}
		})
	}
	by := func(a Ability, flags string) Ability {
		a.Architecture, a.Interpreter, a.Entry, a.Flags = "arm64", qemu, "qemu-aarch64", flags
		return a
	}
	const enable = "linnet emulation enable arm64"
	const install = "apt install qemu-user-static, or put a static qemu-aarch64 in the PATH"
	not := func(missing, fix string) Ability {
		return Ability{Architecture: "arm64", Runs: Not, Setuid: Unknown, Missing: missing, Fix: fix}
	}
	for _, c := range []struct {
		name  string
		facts Facts
		want  Ability
	}{
		{"verified", with("POCF", 7), by(Ability{Runs: Emulated, Verified: true, Setuid: Yes}, "POCF")},
		{"not asked", with("POCF"), by(Ability{Runs: Emulated, Setuid: Unknown}, "POCF")},
		{"without C", with("POF", 0), by(Ability{Runs: Emulated, Verified: true, Setuid: No, Missing: "setuid programs do not work: " + qemu + " is registered (qemu-aarch64) without the flag C", Fix: enable}, "POF")},
		{"without C, not asked", with("POF"), by(Ability{Runs: Emulated, Setuid: No, Missing: "setuid programs do not work: " + qemu + " is registered (qemu-aarch64) without the flag C", Fix: enable}, "POF")},
		{"without F", with("P"), by(Ability{Runs: Not, Setuid: Unknown, Missing: qemu + " is registered (qemu-aarch64) without the flag F, so containers cannot find it", Fix: enable}, "P")},
		{"runs nothing", with("POCF", 127), by(Ability{Runs: Not, Setuid: Unknown, Missing: qemu + " is registered (qemu-aarch64), but runs nothing in a container", Fix: enable}, "POCF")},
		{
			"runs nothing, and no better one is there",
			func() Facts { f := with("POCF", 127); f.Emulators = nil; return f }(),
			by(Ability{Runs: Not, Setuid: Unknown, Missing: qemu + " is registered (qemu-aarch64), but runs nothing in a container", Fix: install}, "POCF"),
		},
		{"setuid counts nowhere here", func() Facts { f := with("POCF", 0); f.host = 0; return f }(), by(Ability{Runs: Emulated, Verified: true, Setuid: Unknown}, "POCF")},
		{"asked by a user", func() Facts { f := with("POCF", 0xe8); f.User = 1000; return f }(), by(Ability{Runs: Emulated, Verified: true, Setuid: Unknown}, "POCF")},
		{"not registered", good(func(*Facts) {}), not("no emulator is registered", enable)},
		{"switched off in the kernel", func() Facts { f := with("POCF"); f.Enabled = false; return f }(), not("no emulator is registered", enable)},
		{"disabled by the user", good(func(f *Facts) { f.Off = true }), not("emulation is disabled", "linnet emulation enable")},
		{"a kernel without", good(func(f *Facts) { f.Kernel = false }), not("the kernel has no binfmt_misc", "use a kernel with CONFIG_BINFMT_MISC")},
		{"no emulator", good(func(f *Facts) { f.Emulators = nil }), not("qemu-aarch64 is not installed", install)},
		{"one with libraries", good(func(f *Facts) { f.Emulators["arm64"] = Emulator{"/usr/bin/qemu-aarch64", false} }), not("/usr/bin/qemu-aarch64 needs libraries that containers do not have", install)},
		{"not root", good(func(f *Facts) { f.User = 1000 }), not("no emulator is registered, and only root may do that", "sudo "+enable)},
		{"a machine that does it itself", good(func(f *Facts) { f.Own = "" }), not("the virtual machine has no emulator for it", "use an image of the machine's own architecture")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(c.facts, arm)
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if whole := got.Runs != Not && got.Missing == ""; got.Whole() != whole {
				t.Errorf("whole: %v", got.Whole())
			}
		})
	}
}

func TestWhatRunsByItself(t *testing.T) {
	all := map[string]Ability{}
	for _, a := range Decide(parse(answer)) {
		all[a.Architecture] = a
	}
	for name, want := range map[string]Way{"amd64": Natively, "386": Natively, "arm64": Emulated, "arm": Not, "riscv64": Not, "ppc64le": Not, "s390x": Not} {
		if all[name].Runs != want {
			t.Errorf("%s: %+v", name, all[name])
		}
	}
}

// The newest entry is the kernel's choice, and ours comes last.
func TestOurOwnEntryGoesFirst(t *testing.T) {
	a := arch(t, "arm64")
	f := Facts{Machine: "x86_64", Enabled: true, Own: "linnet-1-", Entries: []Entry{
		entryOf(t, a, "aarch64", "/a", "POF"), entryOf(t, a, "linnet-1-aarch64", "/ours", "POCF"), entryOf(t, a, "qemu-aarch64", "/b", "POF"),
	}}
	if got := Judge(f, a); got.Interpreter != "/ours" || !got.Whole() {
		t.Errorf("got %+v", got)
	}
}

func TestWhyNothingCanBeRegistered(t *testing.T) {
	a := arch(t, "arm64")
	f := Facts{Machine: "x86_64", Kernel: true, Own: "linnet-1-", Emulators: map[string]Emulator{"arm64": {"/q", true}}}
	if err := f.CanRegister(a); err != nil {
		t.Error(err)
	}
	f.User = 1
	err := f.CanRegister(a)
	var e *Error
	if !errors.As(err, &e) || err.Error() != "emulating linux/arm64: no emulator is registered, and only root may do that" || e.Hint() != "sudo linnet emulation enable arm64" {
		t.Errorf("got %v", err)
	}
}
