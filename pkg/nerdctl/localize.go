package nerdctl

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// Plan says how to run an invocation in the guest, so that it means what it means on the host.
type Plan struct {
	// Invocation is the rewritten command line. Argv renders it, once the stage is there.
	Invocation *Invocation
	*crossing.Plan

	undone string // where the container's ID is when the command is given up
}

// Argv returns the command line to run, without the program's name. path says where a
// staged file of a name is in the guest; it may be nil when the plan is Direct.
func (p *Plan) Argv(path func(name string) string) []string {
	argv := p.Invocation.Argv()
	for i := range argv {
		argv[i] = p.Fill(argv[i], path)
	}
	return argv
}

// containerCommands start a container's processes. Their nerdctl gets nothing of the user's environment but what Allowed
// names: it writes its own into the hooks of a container, and so into containerd's database on disk.
var containerCommands = []string{"run", "create", "exec", "start", "restart"}

// Localize says what has to be changed in inv, and carried along, so that it means in the guest what it means on h. It walks the
// flags and the positionals, and has package crossing map the values of those that the rules name. It leaves inv as it is,
// and every word that means the same in both places. An error of h.Visible comes back unchanged when there is no way around it.
func Localize(inv *Invocation, h crossing.Host) (*Plan, error) {
	l := &localizer{Mapper: crossing.New(h), inv: inv.Clone()}
	plan := &Plan{Invocation: l.inv, Plan: l.Plan()}
	if inv.Help || inv.Version {
		plan.Plan = &crossing.Plan{}
		return plan, nil
	}
	if len(inv.Path) > 1 && inv.Path[0] == "compose" {
		if err := l.DirError(); err != nil && !inv.IsSet("file") && !inv.IsSet("project-directory") {
			return nil, err
		}
		// What a compose file is interpolated with, but for what nerdctl itself goes by in the guest.
		l.Expose(func(name string) bool { return !Allowed(name) || strings.HasPrefix(name, "COMPOSE_") })
	}
	if err := l.flags(); err != nil {
		return nil, err
	}
	if err := l.positionals(Key(inv.Path)); err != nil {
		return nil, err
	}
	if slices.Contains(containerCommands, Key(inv.Path)) {
		l.Hide(Allowed)
	}
	return plan, nil
}

type localizer struct {
	*crossing.Mapper
	inv *Invocation
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
		return "", false, prefixed("--env", l.Variable(v.Value))
	case fileIn:
		value = l.Readable(v.Value)
	case filesIn:
		value, err = eachItem(v, func(item string) (string, error) { return l.Readable(item), nil })
	case envFiles:
		_, err = eachItem(v, func(item string) (string, error) { return item, l.envFile(item) })
		return "", false, err
	case fileOut:
		value = l.Writable(v.Value, v.Name() == "cidfile")
	case dirIn, composeFile:
		value, err = l.Visible(v.Value, false, true)
	case dirsIn:
		value, err = eachItem(v, func(item string) (string, error) { return l.Visible(item, false, true) })
	case dirOut:
		value, err = l.Visible(v.Value, true, true)
	case volume:
		value, err = l.Volume(v.Value)
	case mount:
		value, err = l.Mount(v.Value)
	case archiveIn, archiveOut:
		value, keep = l.Archive(v.Value, k == archiveOut, true)
	case signingKey:
		if !strings.Contains(v.Value, "://") {
			value = l.Readable(v.Value)
		}
	case securityOpt:
		if file, ok := strings.CutPrefix(v.Value, "seccomp="); ok && file != "unconfined" && file != "builtin" {
			value = "seccomp=" + l.Readable(file)
		}
	case decryptionKey:
		value, err = eachItem(v, l.decryptionKey)
	case recipient:
		value, err = eachItem(v, l.recipient)
	}
	return value, keep, err
}

// envFile reads an environment file on the host.
func (l *localizer) envFile(typed string) error {
	err := l.EnvFile(typed)
	if wrong := new(crossing.VariableError); err == nil || errors.As(err, &wrong) {
		return prefixed("--env-file "+typed+":", err)
	}
	return fmt.Errorf("reading --env-file %s: %w", typed, hint.Cause(err))
}

// prefixed names the flag in which something is wrong.
func prefixed(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", flag, err)
}

// positionals localizes the words of the commands that take paths there.
func (l *localizer) positionals(command string) (err error) {
	args := l.inv.Args
	switch {
	case len(args) == 0:
	case command == "import":
		if args[0] != "-" && !strings.HasPrefix(args[0], "http://") && !strings.HasPrefix(args[0], "https://") {
			path, visible := l.Archive(args[0], false, false)
			if args[0] = path; !visible {
				args[0] = "-"
			}
		}
	case (command == "run" || command == "create") && l.inv.Bool("rootfs"):
		args[0], err = l.Visible(args[0], false, false)
	case (command == "cp" || command == "compose cp") && len(args) == 2:
		err = l.copy(args, command == "cp")
	}
	return err
}

// eachItem localizes the items of a flag that takes a comma-separated list, or the one
// value of another flag. A list of which nothing changes stays as it was typed.
func eachItem(v FlagValue, localize func(string) (string, error)) (string, error) {
	if v.Flag.Type != "stringSlice" || v.Value == "" {
		return localize(v.Value)
	}
	items, err := csv.NewReader(strings.NewReader(v.Value)).Read()
	if err != nil {
		return "", err
	}
	were := slices.Clone(items)
	for i := range items {
		if items[i], err = localize(items[i]); err != nil {
			return "", err
		}
	}
	if slices.Equal(items, were) {
		return v.Value, nil
	}
	return joinList(items), nil
}

// joinList writes a list so that it is read as these items.
func joinList(items []string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(items) // a strings.Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// decryptionKey localizes FILE[:PASSWORD].
func (l *localizer) decryptionKey(item string) (string, error) {
	file, password, ok := strings.Cut(item, ":")
	if file == "provider" || file == "pkcs11" {
		return item, nil
	}
	if file = l.Readable(file); ok {
		return file + ":" + password, nil
	}
	return file, nil
}

// recipient localizes the key file of PROTOCOL:FILE.
func (l *localizer) recipient(item string) (string, error) {
	switch protocol, file, _ := strings.Cut(item, ":"); protocol {
	case "jwe", "pkcs7", "pkcs11":
		return protocol + ":" + l.Readable(file), nil
	}
	return item, nil
}
