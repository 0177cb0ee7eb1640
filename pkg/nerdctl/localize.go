package nerdctl

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Host is what Localize asks of the host that the command line was typed on.
type Host struct {
	// LookupEnv looks up a variable of the user's environment.
	LookupEnv func(name string) (value string, ok bool)
	// Dir is the working directory and Home the home directory, both absolute.
	Dir, Home string
	// Visible says where an absolute host path is over there. Its error is passed on as it is.
	Visible func(path string) (there string, readOnly bool, err error)

	// The rest may be nil. IsDir says whether a host path is a directory; nil means never.
	IsDir func(path string) bool
	// ReadFile reads an environment file.
	ReadFile func(path string) ([]byte, error)
	// Environ lists the user's environment: a compose file is interpolated with it, and a
	// container that is made must not get to see the rest of it.
	Environ func() []string
}

// Plan says how to run an invocation over there, so that it means what it means here.
type Plan struct {
	// Invocation is the rewritten command line. Argv renders it, once the stage is there.
	Invocation *Invocation
	// Variables are those of the container, NAME=value or a bare NAME, each name once. They reach nerdctl as data and are in
	// no environment but the container's.
	Variables []string
	// Env are NAME=value that must be in nerdctl's own environment in the guest, each name
	// once: what a compose file is interpolated with. Unset are names that must not be in it.
	Env, Unset []string
	// Dir is the working directory over there, empty when the host's is not visible.
	Dir string
	// Stdin and Stdout replace the standard stream when they are set.
	Stdin, Stdout *HostFile
	// Stage are host files to put into the stage first, Back are files to fetch from it
	// afterwards.
	Stage []StagedFile
	Back  []BackFile

	named  []string // further files of the stage
	undone string   // where the container's ID is when the command is given up
}

// HostFile is a host file that is read or written through a standard stream.
type HostFile struct {
	Path string
	// Tar says that the stream is a tar archive of the path, as cp makes and takes it: its
	// one root entry is the last element of the path. FollowLink says that a symbolic link
	// Path is followed, Contents that the archive has no root entry: what is in a directory.
	Tar, FollowLink, Contents bool
	// Entry is what the root entry is called in a directory that is there, "." where its contents are copied: the base
	// of the container's path as it was typed, whatever the archive says.
	Entry string
}

// StagedFile is a host file that nerdctl reads from the stage.
type StagedFile struct {
	// Name is the file's name in the stage, Host its absolute path here.
	Name, Host string
	// KeepMode says that the mode of the host's file matters; else 0600 is right.
	KeepMode bool
}

// BackFile is a file that nerdctl writes into the stage and that belongs on the host.
type BackFile struct {
	Name, Host string
	// New says that the command must be refused when the host's file is already there.
	New bool
}

// Direct says that nothing has to be done before or after the command.
func (p *Plan) Direct() bool {
	return p.Stdin == nil && p.Stdout == nil && !p.Staged()
}

// Argv returns the command line to run, without the program's name. path says where a
// staged file of a name is over there; it may be nil when the plan is Direct.
func (p *Plan) Argv(path func(name string) string) []string {
	argv := p.Invocation.Argv()
	for i := range argv {
		argv[i] = p.fill(argv[i], path)
	}
	return argv
}

// placeholder stands for the path of a staged file. No argument that was typed can hold it,
// because none holds a zero byte.
func placeholder(name string) string { return "\x00stage:" + name + "\x00" }

// Localize says what has to be changed in inv, and carried along, so that it means over
// there what it means on h. It leaves inv as it is, and leaves every word alone that means
// the same in both places. An error of h.Visible comes back unchanged when there is no way
// around it.
func Localize(inv *Invocation, h Host) (*Plan, error) {
	l := &localizer{host: h, inv: inv.Clone(), plan: &Plan{}, env: map[string]*string{}}
	l.plan.Invocation = l.inv
	if inv.Help || inv.Version {
		return l.plan, nil
	}
	there, _, dirErr := h.Visible(h.Dir)
	if dirErr == nil {
		l.plan.Dir, l.sameDir = there, there == h.Dir
	}
	if len(inv.Path) > 1 && inv.Path[0] == "compose" {
		if dirErr != nil && !inv.IsSet("file") && !inv.IsSet("project-directory") {
			return nil, dirErr
		}
		l.composeEnv()
	}
	if err := l.flags(); err != nil {
		return nil, err
	}
	if err := l.positionals(Key(inv.Path)); err != nil {
		return nil, err
	}
	if slices.Contains(containerCommands, Key(inv.Path)) {
		l.hideEnv()
	}
	l.finishEnv()
	return l.plan, nil
}

type localizer struct {
	host    Host
	inv     *Invocation
	plan    *Plan
	sameDir bool
	// env holds what the far environment must say; nil means that it must not say anything.
	env   map[string]*string
	names []string
}

// flags goes through the uses in two rounds: environment files come first, because what
// --env says wins over them.
func (l *localizer) flags() error {
	kept := l.inv.Flags[:0:0]
	rewritten := make([][]FlagValue, len(l.inv.Flags))
	for _, files := range []bool{true, false} {
		for i, v := range l.inv.Flags {
			r, _ := kindOf(l.inv.definedBy(v.Flag), v.Name())
			if (r.kind == envFiles) != files {
				continue
			}
			value, keep, err := l.value(r.kind, v)
			if err != nil {
				return err
			}
			if v.Value = value; keep {
				rewritten[i] = []FlagValue{v}
			}
		}
	}
	for _, r := range rewritten {
		kept = append(kept, r...)
	}
	l.inv.Flags = kept
	return nil
}

// value localizes one use of a flag; keep is false when the flag has to go.
func (l *localizer) value(k kind, v FlagValue) (value string, keep bool, err error) {
	value, keep = v.Value, true
	switch k {
	case plain:
	case envVar:
		return "", false, l.variable(v.Value)
	case fileIn:
		value = l.readable(v.Value)
	case filesIn:
		value, err = eachItem(v, func(item string) (string, error) { return l.readable(item), nil })
	case envFiles:
		_, err = eachItem(v, func(item string) (string, error) { return item, l.envFile(item) })
		return "", false, err
	case fileOut:
		value = l.writable(v.Value, v.Name() == "cidfile")
	case dirIn, composeFile:
		value, err = l.visible(v.Value, false)
	case dirsIn:
		value, err = eachItem(v, func(item string) (string, error) { return l.visible(item, false) })
	case dirOut:
		value, err = l.visible(v.Value, true)
	case volume:
		value, err = l.volume(v.Value)
	case mount:
		value, err = l.mount(v.Value)
	case archiveIn, archiveOut:
		value, keep = l.archive(v.Value, k == archiveOut)
	case signingKey:
		if !strings.Contains(v.Value, "://") {
			value = l.readable(v.Value)
		}
	case securityOpt:
		if file, ok := strings.CutPrefix(v.Value, "seccomp="); ok && file != "unconfined" && file != "builtin" {
			value = "seccomp=" + l.readable(file)
		}
	case decryptionKey:
		value, err = eachItem(v, l.decryptionKey)
	case recipient:
		value, err = eachItem(v, l.recipient)
	}
	return value, keep, err
}

// positionals localizes the words of the commands that take paths there.
func (l *localizer) positionals(command string) (err error) {
	args := l.inv.Args
	switch {
	case len(args) == 0:
	case command == "import":
		if args[0] != "-" && !strings.HasPrefix(args[0], "http://") && !strings.HasPrefix(args[0], "https://") {
			if there, _, err := l.locate(args[0], false); err == nil {
				args[0] = there
			} else {
				l.plan.Stdin = &HostFile{Path: l.absolute(args[0], false)}
				args[0] = "-"
			}
		}
	case (command == "run" || command == "create") && l.inv.Bool("rootfs"):
		args[0], err = l.visibleWord(args[0], false)
	case (command == "cp" || command == "compose cp") && len(args) == 2:
		err = l.copy(args, command == "cp")
	}
	return err
}

// locate says where a host path, as typed, is over there. A word that means the same in
// both places is returned as it is.
func (l *localizer) locate(typed string, tilde bool) (there string, readOnly bool, err error) {
	path := l.absolute(typed, tilde)
	there, readOnly, err = l.host.Visible(path)
	if err != nil {
		return "", false, err
	}
	if there == path && !(tilde && hasTilde(typed)) && (filepath.IsAbs(typed) || l.sameDir) {
		return typed, readOnly, nil
	}
	return there, readOnly, nil
}

func (l *localizer) absolute(typed string, tilde bool) string {
	if tilde && hasTilde(typed) {
		return filepath.Join(l.host.Home, typed[1:])
	}
	if filepath.IsAbs(typed) {
		return filepath.Clean(typed)
	}
	return filepath.Join(l.host.Dir, typed)
}

func hasTilde(path string) bool { return path == "~" || strings.HasPrefix(path, "~/") }

// readable makes a file readable over there: where it is, or through the stage.
func (l *localizer) readable(typed string) string {
	if typed == "" || typed == "-" {
		return typed
	}
	if there, _, err := l.locate(typed, true); err == nil {
		return there
	}
	return l.stage(l.absolute(typed, true), false)
}

func (l *localizer) stage(path string, keepMode bool) string {
	for _, f := range l.plan.Stage {
		if f.Host == path && f.KeepMode == keepMode {
			return placeholder(f.Name)
		}
	}
	name := filepath.Base(path)
	if !keepMode {
		name = "in" + strconv.Itoa(len(l.plan.Stage)) + "-" + name
	}
	l.plan.Stage = append(l.plan.Stage, StagedFile{Name: name, Host: path, KeepMode: keepMode})
	return placeholder(name)
}

// writable makes a file that nerdctl writes end up on the host.
func (l *localizer) writable(typed string, isNew bool) string {
	if typed == "" {
		return typed
	}
	if there, readOnly, err := l.locate(typed, true); err == nil && !readOnly {
		return there
	}
	path := l.absolute(typed, true)
	name := "out" + strconv.Itoa(len(l.plan.Back)) + "-" + filepath.Base(path)
	l.plan.Back = append(l.plan.Back, BackFile{Name: name, Host: path, New: isNew})
	return placeholder(name)
}

// visible is for a path of a flag that has to be there, whatever it takes.
func (l *localizer) visible(typed string, write bool) (string, error) {
	return l.mustLocate(typed, write, true)
}

// visibleWord is the same for a positional, whose tilde is the shell's business.
func (l *localizer) visibleWord(typed string, write bool) (string, error) {
	return l.mustLocate(typed, write, false)
}

func (l *localizer) mustLocate(typed string, write, tilde bool) (string, error) {
	if typed == "" || typed == "-" {
		return typed, nil
	}
	there, readOnly, err := l.locate(typed, tilde)
	if err != nil {
		return "", err
	}
	if write && readOnly {
		return "", &ReadOnlyError{Host: l.absolute(typed, tilde)}
	}
	return there, nil
}

// ReadOnlyError is a path that has to be written and that the engine can only read.
type ReadOnlyError struct{ Host string }

func (e *ReadOnlyError) Error() string { return e.Host + " is read-only for the engine" }

// archive turns an archive that is not visible into a standard stream.
func (l *localizer) archive(typed string, write bool) (value string, keep bool) {
	if typed == "" {
		return typed, true
	}
	there, readOnly, err := l.locate(typed, true)
	if err == nil && !(write && readOnly) {
		return there, true
	}
	file := &HostFile{Path: l.absolute(typed, true)}
	if write {
		l.plan.Stdout = file
	} else {
		l.plan.Stdin = file
	}
	return "", false
}

// volume localizes the source of SOURCE:DESTINATION[:OPTIONS], unless it names a volume.
func (l *localizer) volume(value string) (string, error) {
	source, rest, ok := strings.Cut(strings.TrimLeft(value, ":"), ":")
	if !ok || isVolumeName(source) {
		return value, nil
	}
	there, err := l.bindSource(source, ":")
	if err != nil || there == source {
		return value, err
	}
	return there + ":" + rest, nil
}

// mount localizes the source of type=bind, and of a volume whose name is a path.
func (l *localizer) mount(value string) (string, error) {
	fields := strings.Split(value, ",")
	if slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, "type=tmpfs") }) {
		return value, nil
	}
	for i, field := range fields {
		key, source, ok := strings.Cut(field, "=")
		if key = strings.ToLower(key); !ok || key != "source" && key != "src" || source == "" || isVolumeName(source) {
			continue
		}
		there, err := l.bindSource(source, ",:")
		if err != nil {
			return "", err
		}
		fields[i] = field[:len(key)+1] + there
	}
	return strings.Join(fields, ","), nil
}

// bindSource localizes the source of a bind mount, written where none of the separators may stand.
func (l *localizer) bindSource(source, separators string) (string, error) {
	if source == "" {
		return source, nil
	}
	there, err := l.visible(source, false)
	if err == nil && there != source && strings.ContainsAny(there, separators) {
		return "", fmt.Errorf("mounting %s: a path with %q in it cannot be mounted", there, separators[:1])
	}
	return there, err
}

// isVolumeName is nerdctl's rule for what is the name of a volume, and not a path.
func isVolumeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return len(s) > 1
}
