package emulate

import (
	"fmt"
	"strings"
)

// Facts are what a machine is known to be like.
type Facts struct {
	// Machine is as uname -m says it.
	Machine string
	// User is the id of who asked; only root (0) can try setuid programs, or register.
	User int
	// Kernel says that the kernel has binfmt_misc, if perhaps as a module that is not loaded.
	Kernel bool
	// Mounted says that binfmt_misc is there to be read, Enabled that it is switched on.
	Mounted, Enabled bool
	Entries          []Entry
	// Ran is the exit code of each architecture's program that was tried; -1 is none.
	Ran map[string]int
	// Emulators are the emulators on this machine that may be registered, by architecture;
	// empty where the machine does that itself.
	Emulators map[string]Emulator
	// Own is what the names of linnet's own entries begin with; empty where it has none.
	Own string
	// Off says that the user wants no emulation.
	Off bool

	host int // the exit code of the machine's own program
}

// Emulator is a program that emulates.
type Emulator struct {
	Path string
	// Static says that it needs no libraries: those of this machine are not in a container.
	Static bool
}

// Way is how programs run.
type Way string

// The ways.
const (
	Natively Way = "natively"
	Emulated Way = "emulated"
	Not      Way = "no"
)

// Ability is what is known about one architecture on a machine.
type Ability struct {
	Architecture string `json:"architecture"`
	Runs         Way    `json:"runs"`
	// Interpreter, Entry and Flags are those of the entry by which programs are emulated.
	Interpreter string `json:"interpreter,omitempty"`
	Entry       string `json:"entry,omitempty"`
	Flags       string `json:"flags,omitempty"`
	// Verified says that a program has been run; Setuid what is known of setuid programs.
	Verified bool `json:"verified"`
	Setuid   Know `json:"setuid"`
	// Missing is what stands against it, and Fix the one thing to do.
	Missing string `json:"missing,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// Know is yes, no, or not known.
type Know string

// What can be known.
const (
	Yes     Know = "yes"
	No      Know = "no"
	Unknown Know = "unknown"
)

// Whole reports whether nothing is missing.
func (a Ability) Whole() bool { return a.Runs != Not && a.Missing == "" }

// Decide says for each known architecture how its programs run.
func Decide(f Facts) []Ability {
	var all []Ability
	for _, a := range Architectures() {
		all = append(all, Judge(f, a))
	}
	return all
}

// Judge says it for one. What was not tried is judged by the entry's flags.
func Judge(f Facts, a Architecture) Ability {
	out := Ability{Architecture: a.Name, Runs: Not, Setuid: Unknown}
	host, _ := Find(f.Machine)
	tried, ran, setuid := f.trial(a)
	entry, registered := f.entry(a)
	if a.Name == host.Name || ran && !registered {
		out.Runs, out.Verified, out.Setuid = Natively, ran || a.Name == host.Name, setuid
		if a.Name == host.Name {
			out.Setuid = Yes
		}
		return out
	}
	if !registered {
		out.Missing, out.Fix = f.missing(a)
		return out
	}
	out.Interpreter, out.Entry, out.Flags = entry.Interpreter, entry.Name, entry.Flags
	enable := "linnet emulation enable " + a.Name
	switch {
	case tried && !ran:
		out.Missing, out.Fix = fmt.Sprintf("%s is registered (%s), but runs nothing in a container", entry.Interpreter, entry.Name), enable
	case !ran && !entry.Has("F"):
		out.Missing, out.Fix = fmt.Sprintf("%s is registered (%s) without the flag F, so containers cannot find it", entry.Interpreter, entry.Name), enable
	case setuid == No, !ran && !entry.Has("C"):
		out.Runs, out.Verified, out.Setuid = Emulated, ran, No
		out.Missing, out.Fix = fmt.Sprintf("setuid programs do not work: %s is registered (%s) without the flag C", entry.Interpreter, entry.Name), enable
	default:
		out.Runs, out.Verified, out.Setuid = Emulated, ran, setuid
	}
	if out.Missing != "" {
		if problem, fix := f.cannotRegister(a); problem != "" {
			out.Fix = fix
		}
	}
	return out
}

// trial reports whether an architecture's program was tried, whether it ran, and whether setuid
// counted for it.
func (f Facts) trial(a Architecture) (tried, ran bool, setuid Know) {
	code, tried := f.Ran[a.Name]
	switch {
	case !tried || code < 0:
		return false, false, Unknown
	case f.User != 0:
		return true, code == f.User&0xff, Unknown
	case code == owner:
		return true, true, Yes
	case code == 0 && f.host == owner:
		return true, true, No
	default:
		return true, code == 0, Unknown
	}
}

// entry is the one by which the kernel runs an architecture's programs: linnet's own if there
// is one, since the kernel takes the newest and linnet comes second.
func (f Facts) entry(a Architecture) (found Entry, ok bool) {
	if !f.Enabled {
		return found, false
	}
	for _, e := range f.Entries {
		if !e.Runs(a) {
			continue
		}
		if f.Own != "" && strings.HasPrefix(e.Name, f.Own) {
			return e, true
		}
		if !ok {
			found, ok = e, true
		}
	}
	return found, ok
}

// missing says why programs do not run that nothing is registered for, and the one thing to do.
func (f Facts) missing(a Architecture) (problem, fix string) {
	if f.Off {
		return "emulation is disabled", "linnet emulation enable"
	}
	if problem, fix := f.cannotRegister(a); problem != "" {
		return problem, fix
	}
	return "no emulator is registered", "linnet emulation enable " + a.Name
}

// cannotRegister says what keeps linnet from registering an emulator; nothing is empty.
func (f Facts) cannotRegister(a Architecture) (problem, fix string) {
	install := "apt install qemu-user-static, or put a static qemu-" + a.Machine + " in the PATH"
	emulator, there := f.Emulators[a.Name]
	switch {
	case f.Own == "":
		return "the virtual machine has no emulator for it", "use an image of the machine's own architecture"
	case !f.Kernel:
		return "the kernel has no binfmt_misc", "use a kernel with CONFIG_BINFMT_MISC"
	case !there:
		return "qemu-" + a.Machine + " is not installed", install
	case !emulator.Static:
		return emulator.Path + " needs libraries that containers do not have", install
	case f.User != 0:
		return "no emulator is registered, and only root may do that", "sudo linnet emulation enable " + a.Name
	}
	return "", ""
}

// CanRegister fails with what keeps linnet from registering an emulator.
func (f Facts) CanRegister(a Architecture) error {
	if problem, fix := f.cannotRegister(a); problem != "" {
		return &Error{Architecture: a, Problem: problem, Fix: fix}
	}
	return nil
}

// Error says why an architecture's programs do not run.
type Error struct {
	Architecture Architecture
	Problem, Fix string
}

func (e *Error) Error() string {
	return "emulating linux/" + e.Architecture.Name + ": " + e.Problem
}

// Hint is the one thing to do.
func (e *Error) Hint() string { return e.Fix }
