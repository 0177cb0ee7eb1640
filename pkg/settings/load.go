package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// largest is the size in bytes of a file that is still read: fifteen times the reference.
const largest = 64 << 10

// Input is what settings are made of, weakest first.
type Input struct {
	Facts Facts
	// Path is the file; empty means none. One that does not exist is no error.
	Path string
	// Env looks an environment variable up; nil means that there are none.
	Env func(name string) (value string, ok bool)
	// Flags are settings made on the command line.
	Flags []Flag
}

// Flag is a setting made on the command line.
type Flag struct {
	// Name is the flag as the user knows it, "--debug"; it set Key to Value.
	Name, Key, Value string
}

// Read makes settings of everything in the input: defaults, over which come the file, the
// environment and the flags. It fails with Problems, which hold every mistake in all of them.
func Read(in Input) (*Settings, error) {
	s := Defaults(in.Facts)
	r := &reader{settings: s, fields: s.fields()}
	if in.Path != "" {
		r.file(in.Path, tilde(in.Path, in.Facts.Home))
	}
	for _, f := range r.fields {
		r.environment(in.Env, f)
	}
	for _, flag := range in.Flags {
		r.flag(flag)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return s, nil
}

// reader fills settings and collects what is wrong on the way.
type reader struct {
	settings *Settings
	fields   []field
	problems Problems
}

func (r *reader) file(path, shown string) {
	text, err := slurp(path)
	if err != nil {
		p := Problem{Where: shown, Text: err.Error()}
		if f := (*fault)(nil); errors.As(err, &f) {
			p.Hint = f.hint
		}
		r.problems = append(r.problems, p)
		return
	}
	if strings.TrimSpace(text) != "" {
		r.decode(shown, text)
	}
}

func (r *reader) environment(env func(string) (string, bool), f field) {
	if env == nil {
		return
	}
	name := EnvName(f.key)
	if text, _ := env(name); text != "" {
		r.text(Source{From: FromEnvironment, Name: name}, f, text)
	}
}

func (r *reader) flag(flag Flag) {
	source := Source{From: FromFlag, Name: flag.Name}
	for _, f := range r.fields {
		if f.key == flag.Key {
			r.text(source, f, flag.Value)
			return
		}
	}
	// A mistake of the caller's, told like any other rather than lost.
	r.add(source, flag.Key, &fault{text: "unknown key"})
}

// text sets a field from the one text that a variable or a flag is.
func (r *reader) text(source Source, f field, text string) {
	if l, ok := f.value.(list); ok {
		r.list(source, f, l, strings.Split(text, ","))
		return
	}
	r.scalar(source, f, text)
}

func (r *reader) scalar(source Source, f field, text string) {
	bad := f.value.(scalar).set(text)
	if bad == nil && f.check != nil {
		bad = f.check()
	}
	if bad != nil {
		r.add(source, f.key, bad)
		return
	}
	r.settings.set(f.key, source)
}

// list sets a list, unless an item is wrong.
func (r *reader) list(source Source, f field, l list, items []string) {
	good := true
	for i, item := range items {
		if bad := l.item(item); bad != nil {
			r.add(source, fmt.Sprintf("%s[%d]", f.key, i), bad)
			good = false
		}
	}
	if good {
		l.put(items)
		r.settings.set(f.key, source)
	}
}

func (r *reader) add(source Source, key string, f *fault) {
	r.problems = append(r.problems, Problem{
		Where: source.Name, Line: source.Line, Key: short(key), Text: short(f.text), Hint: short(f.hint),
	})
}

// short keeps text that may hold a part of a file on one line of bearable length.
func short(text string) string {
	const most = 200
	if strings.ContainsFunc(text, unicode.IsControl) {
		quoted := strconv.Quote(text)
		text = quoted[1 : len(quoted)-1]
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most/2]) + "..." + string(runes[len(runes)-most/2:])
	}
	return text
}

// slurp returns the text of a file, "" when it does not exist. Its errors have no path in them.
func slurp(path string) (string, error) {
	// Asked before opening it: to open a pipe would wait for a process to write.
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if target, linkErr := os.Readlink(path); linkErr == nil {
			return "", &fault{fmt.Sprintf("it is a symbolic link to %s, which does not exist", target), "make what it points to, or remove the link"}
		}
		return "", nil
	}
	if err != nil {
		return "", bare(err)
	}
	switch {
	case info.IsDir():
		return "", &fault{"it is a directory, not a file", "move it away; no file is needed"}
	case !info.Mode().IsRegular():
		return "", &fault{"it is not a regular file", "move it away; no file is needed"}
	case info.Size() > largest:
		return "", tooLarge(info.Size())
	}
	f, err := os.Open(path)
	if err != nil {
		return "", bare(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err != nil {
		return "", bare(err)
	}
	if len(data) > largest { // it grew meanwhile
		return "", tooLarge(int64(len(data)))
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return "", &fault{"it is not text", "restore it or move it away; no file is needed"}
	}
	return text, nil
}

func tooLarge(size int64) *fault {
	return &fault{text: fmt.Sprintf("it has %d bytes, and %s is the most that is read", size, Size(largest))}
}

// bare returns an error of package os without the operation and the path.
func bare(err error) error {
	var pathError *fs.PathError
	if !errors.As(err, &pathError) {
		return err
	}
	f := &fault{text: pathError.Err.Error()}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.hint = "make it readable for you (chmod u+r, or chown)"
	case errors.Is(err, syscall.ENOTDIR):
		f.hint = "its directory, or one above, is a file: move that away, or name another directory"
	}
	return f
}

// tilde writes a path under the home directory as people do.
func tilde(path, home string) string {
	if home == "" || home == "/" {
		return path
	}
	if rel, err := filepath.Rel(home, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join("~", rel)
	}
	return path
}
