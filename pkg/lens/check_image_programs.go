package lens

import (
	"fmt"
	"path"
	"strings"
)

func imageProgramChecks() []*Check {
	return []*Check{
		{
			ID: "image-entry", Title: "What the image runs is there", Level: Error, Questions: []string{"COST_05"}, Practices: []string{"entry-point"},
			Why:   "A container of an image whose program, or what loads it, is not there ends as it starts.",
			Fix:   "copy the program to where ENTRYPOINT and CMD name it, make it executable, and link it for the image's C library or statically",
			image: checkImageEntry,
		},
		{
			ID: "image-architecture", Title: "The program is for the image's platform", Level: Error, Questions: []string{"PERF_06", "COST_06", "SUSTAINABILITY_02"}, Practices: []string{"platforms"},
			Why:   "A program for another processor does not start, or is emulated and slow.",
			Fix:   "build for $TARGETARCH, or on a base of the same platform",
			image: checkImageArchitecture,
		},
		{
			ID: "image-static", Title: "A program that needs nothing brings nothing", Level: Info, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"minimal"},
			Why:   "A program that is linked statically needs no distribution: those packages are fetched and patched for nothing.",
			Fix:   "end with FROM scratch, or with a distroless image where certificates and time zones are needed",
			image: checkImageStatic,
		},
	}
}

// program is what the image runs first, as a path of it; "" where it runs nothing. Where a name is in no directory of PATH, found is false.
func (i *Image) program() (name string, e *Entry, found bool) {
	words := i.Entrypoint
	if len(words) == 0 {
		words = i.Cmd
	}
	if len(words) == 0 || words[0] == "" {
		return "", nil, false
	}
	name = words[0]
	if strings.Contains(name, "/") {
		if !strings.HasPrefix(name, "/") {
			name = path.Join("/", i.WorkingDir, name)
		}
		e = i.tree().file(name)
		return name, e, e != nil
	}
	dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, v := range i.Env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			dirs = value
		}
	}
	for dir := range strings.SplitSeq(dirs, ":") {
		if e := i.tree().file(path.Join("/", dir, name)); e != nil && e.Kind == kindFile && e.Mode&0o111 != 0 {
			return path.Join("/", dir, name), e, true
		}
	}
	return name, nil, false
}

func checkImageEntry(i *Image, _ *Config) []found {
	name, e, there := i.program()
	if name == "" {
		return nil
	}
	place := &Place{Path: strings.TrimPrefix(name, "/")}
	for n, l := range i.Layers {
		for at := range l.Entries {
			if &l.Entries[at] == e {
				place = i.place(n, e.Path, e.Size)
			}
		}
	}
	tell := func(format string, args ...any) []found {
		return []found{{text: fmt.Sprintf(format, args...), place: place}}
	}
	switch {
	case !there && !strings.Contains(name, "/"):
		return tell("the image runs %s, which is in no directory of PATH", name)
	case !there:
		return tell("the image runs %s, which is not there", name)
	case e.Kind != kindFile:
		return tell("the image runs %s, which is no file", name)
	case e.Mode&0o111 == 0:
		return tell("the image runs %s, which is not executable", name)
	case e.Detail == nil || e.Detail.Loader == "":
		return nil
	}
	loader := i.tree().file(path.Join("/", e.Detail.Loader))
	what := "is loaded by"
	if e.Detail.Script {
		what = "is a script of"
	}
	if loader == nil {
		return tell("the image runs %s, which %s %s, which is not there", name, what, e.Detail.Loader)
	}
	return nil
}

// machines are ELF's numbers of architectures. Source: System V ABI, "ELF Header", e_machine.
var machines = map[string]uint16{"386": 3, "arm": 40, "amd64": 62, "arm64": 183, "riscv64": 243, "s390x": 22, "ppc64le": 21, "ppc64": 21, "loong64": 258}

func architectureOf(machine uint16) string {
	for _, name := range []string{"386", "arm", "amd64", "arm64", "riscv64", "s390x", "ppc64le", "loong64"} {
		if machines[name] == machine {
			return name
		}
	}
	return fmt.Sprintf("ELF machine %d", machine)
}

func checkImageArchitecture(i *Image, _ *Config) (all []found) {
	want := machines[i.Arch]
	if want == 0 {
		return nil
	}
	name, entry, _ := i.program()
	names, machine := map[int][]string{}, map[int]uint16{}
	programs := map[int]int{}
	for _, f := range i.tree().files {
		if f.Detail == nil || f.Detail.Machine == 0 || f.Mode&0o111 == 0 || !strings.Contains(f.Path, "bin/") && f.Entry != entry {
			continue
		}
		programs[f.layer]++
		if f.Detail.Machine != want {
			names[f.layer] = append(names[f.layer], f.Path)
			machine[f.layer] = f.Detail.Machine
			if f.Entry == entry {
				all = append(all, found{text: fmt.Sprintf("the image is for %s, and runs %s, which is for %s", i.Arch, name, architectureOf(f.Detail.Machine)), place: i.place(f.layer, f.Path, f.Size)})
			}
		}
	}
	for n := range i.Layers {
		if len(all) == 0 && len(names[n]) > 0 && 2*len(names[n]) > programs[n] {
			all = append(all, found{level: Warning, text: fmt.Sprintf("the image is for %s, and %s of %s is for %s", i.Arch, some(names[n]), i.of(n), architectureOf(machine[n])), place: i.place(n, names[n][0], 0)})
		}
	}
	return all
}

// Packages are what the data bases of package managers that are seen in an image name, in their order.
func (i *Image) Packages() (all []Package) {
	for _, f := range i.tree().files {
		if f.Detail != nil {
			all = append(all, f.Detail.Packages...)
		}
	}
	return all
}

func checkImageStatic(i *Image, _ *Config) []found {
	const few = 5 // a distroless image has as many
	name, e, there := i.program()
	if !there || e.Detail == nil || e.Detail.Machine == 0 || e.Detail.Loader != "" || path.Base(name) == "busybox" {
		return nil
	}
	n := len(i.Packages())
	if n <= few || len(i.inPath(shells)) == 0 {
		return nil
	}
	return []found{{text: fmt.Sprintf("%s needs no other file, and the image has %s beside it", name, count(n, "package")), place: &Place{Path: e.Path}}}
}
