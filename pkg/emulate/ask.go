package emulate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Question is what is asked of a machine.
type Question struct {
	// Try are the architectures whose Program is run there.
	Try []Architecture
	// Dirs are where files may be made for that, the likeliest first: it has to be a place
	// where setuid programs count.
	Dirs []string
}

// owner is the user that the setuid programs belong to; another user runs them.
const owner = 7

// Ask puts a question to a machine. run runs a command there, as root if it is to find out
// everything, and fails when the command does.
func Ask(ctx context.Context, q Question, run func(ctx context.Context, argv []string, stdout io.Writer) error) (Facts, error) {
	var out bytes.Buffer
	if err := run(ctx, []string{"sh", "-c", q.script()}, &out); err != nil {
		return Facts{}, fmt.Errorf("asking the machine what it emulates: %w", err)
	}
	return parse(out.String()), nil
}

// observe prints what the kernel says: a line per fact, the lines of a file indented.
const observe = `PATH=$PATH:/usr/sbin:/sbin
dir=/proc/sys/fs/binfmt_misc
uid=$(id -u)
machine=$(uname -m)
echo "machine $machine"
echo "uid $uid"
if grep -q 'binfmt_misc$' /proc/filesystems || ls "/lib/modules/$(uname -r)/kernel/fs/binfmt_misc.ko"* >/dev/null 2>&1; then
	echo "kernel yes"
fi
if [ -e $dir/status ]; then
	echo "status $(cat $dir/status)"
	for file in $dir/*; do
		case ${file##*/} in status | register | '*') continue ;; esac
		echo "entry ${file##*/}"
		sed 's/^/ /' "$file"
	done
fi
`

// try runs the program of one architecture and leaves its exit code in $code. The program is in
// a root of its own, where it finds what it would find in an empty container: nothing. It is
// called by a name that is no path: only an emulator that understands the flag P gets that right.
const try = `try() {
	code=none
	program "$1" >"$root/d/p" || return
	if [ "$uid" = 0 ]; then
		chown %[1]d "$root/d/p" && chmod 4755 "$root/d/p"
		PATH=/d "$timeout" 60 "$chroot" "$root" p
	else
		chmod 755 "$root/d/p"
		PATH="$root/d" "$timeout" 60 "$env" p
	fi </dev/null >/dev/null 2>&1
	code=$?
}
root=
chroot=$(command -v chroot)
env=$(command -v env)
timeout=$(command -v timeout)
trap 'rm -rf "$root"' EXIT
for dir in %[2]s; do
	rm -rf "$root"
	root=$(mktemp -d "$dir/linnet-emulation.XXXXXX" 2>/dev/null) || { root=; continue; }
	chmod 711 "$root"
	mkdir "$root/d"
	try "$machine"
	[ "$code" != %[1]d ] || break
done
[ -n "$root" ] || exit 0
echo "host $code"
`

// script writes the question down for any POSIX shell.
func (q Question) script() string {
	if len(q.Try) == 0 {
		return observe
	}
	var b strings.Builder
	b.WriteString(observe + "program() {\n\tcase $1 in\n")
	for _, a := range Architectures() {
		names := append([]string{a.Name, a.Machine}, spellings[a.Name]...)
		fmt.Fprintf(&b, "\t%s) printf %%b '%s' ;;\n", strings.Join(names, " | "), octal(a.Program()))
	}
	b.WriteString("\t*) return 1 ;;\n\tesac\n}\n")
	fmt.Fprintf(&b, try, owner, quoted(q.Dirs))
	for _, a := range q.Try {
		fmt.Fprintf(&b, "try %[1]s\necho \"ran %[1]s $code\"\n", a.Name)
	}
	return b.String()
}

// octal writes bytes as the %b of printf(1) reads them.
func octal(text []byte) string {
	var b strings.Builder
	for _, c := range text {
		fmt.Fprintf(&b, `\0%03o`, c)
	}
	return b.String()
}

func quoted(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(all, " ")
}

// parse reads the answer. What cannot be read is not known.
func parse(text string) Facts {
	f := Facts{User: -1, Ran: map[string]int{}, host: -1}
	var name string
	var file strings.Builder
	entryEnds := func() {
		if name != "" {
			f.Entries = append(f.Entries, ParseEntry(name, file.String()))
		}
		name = ""
		file.Reset()
	}
	for line := range strings.Lines(text) {
		if inFile, ok := strings.CutPrefix(line, " "); ok {
			file.WriteString(inFile)
			continue
		}
		entryEnds()
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "machine":
			f.Machine = value
		case "uid":
			f.User = number(value)
		case "kernel":
			f.Kernel = true
		case "status":
			f.Mounted, f.Enabled = true, value == "enabled"
		case "entry":
			name = value
		case "host":
			f.host = number(value)
		case "ran":
			which, code, _ := strings.Cut(value, " ")
			f.Ran[which] = number(code)
		}
	}
	entryEnds()
	return f
}

// number is -1 for what is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
