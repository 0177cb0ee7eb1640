package lens

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func baseChecks() []*Check {
	return []*Check{
		{
			ID: "base-tag", Title: "Images have a version", Level: Warning, Questions: []string{"PERF_03"}, Practices: []string{"no-latest"},
			Why:        "An image without a tag, or with the tag latest, is another one next month: a build that worked breaks, and no commit says why.",
			Fix:        "name a version: IMAGE:VERSION",
			URL:        "https://docs.docker.com/build/building/best-practices/#pin-base-image-versions",
			dockerfile: checkBaseTag,
		},
		{
			ID: "base-digest", Title: "Images are pinned by digest", Level: Info, Questions: []string{"PERF_03", "SEC_04"}, Practices: []string{"pinned"},
			Why:        "A tag can be moved to another image; a digest cannot.",
			Fix:        "add the digest that the tag has now: IMAGE:1.2@sha256:...",
			dockerfile: checkBaseDigest,
		},
		{
			ID: "base-registry", Title: "Images come from registries that are allowed", Level: Error, Questions: []string{"SEC_04"}, Practices: []string{"pinned"},
			Why:        "What a project builds on is as trusted as the registry it comes from. The list is the project's: allow.registries in .linnet/lens.yaml.",
			Fix:        "take the image from a registry of the list, or add its registry there",
			dockerfile: checkBaseRegistry,
		},
		{
			ID: "base-full", Title: "The final image begins with a small one", Level: Info, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"minimal"},
			Why:        "A full distribution brings hundreds of packages that no one asked for: bytes to pull at each start, and more to patch.",
			Fix:        "take the image's slim variant, alpine or a distroless image",
			dockerfile: checkBaseFull,
		},
		{
			ID: "sdk-final", Title: "The final image has no compiler", Level: Warning, Questions: []string{"OPS_01", "COST_04"}, Practices: []string{"multi-stage"},
			Why:        "What builds the program is larger than the program, and a gift to an intruder.",
			Fix:        "build in a stage of its own, and COPY --from it what the program needs",
			URL:        "https://docs.docker.com/build/building/multi-stage/",
			dockerfile: checkSDKFinal,
		},
	}
}

// reference is an image that a Dockerfile names.
type reference struct {
	image string // with the tag and the digest
	line  int
	what  string // how it is named: "FROM"
}

// references are all images that a Dockerfile names and whose names the text tells.
func (d *Dockerfile) references() (all []reference) {
	if d.Syntax != "" {
		all = append(all, reference{d.Syntax, d.SyntaxLine, "# syntax="})
	}
	add := func(before int, image string, line int, what string) {
		if image != "" && image != "scratch" && !strings.Contains(image, "$") && d.stage(image, before) < 0 && strings.Trim(image, "0123456789") != "" {
			all = append(all, reference{image, line, what})
		}
	}
	for i := range d.Stages {
		s := &d.Stages[i]
		if s.Parent < 0 {
			add(i, s.Base, s.Line, "FROM")
		}
		for j := range s.Steps {
			step := &s.Steps[j]
			if c, ok := step.Command.(*instructions.CopyCommand); ok {
				add(len(d.Stages), c.From, step.Line, "COPY --from")
			}
			for _, m := range step.Mounts {
				add(len(d.Stages), m.From, d.lineOf(step, m.From), "the mount's from")
			}
		}
	}
	return all
}

// parts takes an image's name apart. A registry that is not named is docker.io.
func parts(image string) (registry, name, tag, digest string) {
	rest, digest, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		rest, tag = rest[:i], rest[i+1:]
	}
	registry, name, deeper := strings.Cut(rest, "/")
	if !deeper || !strings.ContainsAny(registry, ".:") && registry != "localhost" {
		registry, name = "docker.io", rest
	}
	return registry, strings.TrimPrefix(name, "library/"), tag, digest
}

func checkBaseTag(d *Dockerfile, _ *Config) (all []found) {
	for _, r := range d.references() {
		_, _, tag, digest := parts(r.image)
		switch {
		case digest != "":
		case tag == "" && r.what != "FROM" && !strings.ContainsAny(r.image, "/."):
			all = append(all, found{line: r.line, level: Info, text: fmt.Sprintf("%s %s has no tag, if it is no build context of that name", r.what, r.image), fix: fmt.Sprintf("name a version: %s:VERSION", r.image)})
		case tag == "":
			all = append(all, found{line: r.line, text: fmt.Sprintf("%s %s has no tag", r.what, r.image), fix: fmt.Sprintf("name a version: %s:VERSION", r.image)})
		case tag == "latest":
			all = append(all, found{line: r.line, text: fmt.Sprintf("%s %s is whatever is the latest", r.what, r.image), fix: "name a version: " + strings.TrimSuffix(r.image, ":latest") + ":VERSION"})
		}
	}
	return all
}

func checkBaseDigest(d *Dockerfile, _ *Config) (all []found) {
	for _, r := range d.references() {
		if _, _, tag, digest := parts(r.image); digest == "" && tag != "" && tag != "latest" && r.what != "# syntax=" {
			all = append(all, found{line: r.line, text: fmt.Sprintf("%s %s has no digest", r.what, r.image), fix: fmt.Sprintf("add the digest that the tag has now: %s@sha256:...", r.image)})
		}
	}
	return all
}

func checkBaseRegistry(d *Dockerfile, c *Config) (all []found) {
	if len(c.Registries) == 0 {
		return nil
	}
	for _, r := range d.references() {
		registry, name, _, _ := parts(r.image)
		if registry == "docker.io" && !strings.Contains(name, "/") {
			name = "library/" + name
		}
		if !slices.ContainsFunc(c.Registries, func(allowed string) bool {
			allowed = strings.TrimSuffix(allowed, "/")
			return allowed == registry || strings.HasPrefix(registry+"/"+name, allowed+"/")
		}) {
			all = append(all, found{line: r.line, text: fmt.Sprintf("%s %s is from %s, which is not among the allowed registries", r.what, r.image, registry)})
		}
	}
	return all
}

// fullImages are official images of programming languages that are a whole Debian, but for their slim and alpine variants.
var fullImages = []string{"python", "node", "ruby", "php", "perl", "openjdk", "pypy", "buildpack-deps"}

// distributions are official images of whole distributions that have a smaller sister.
var distributions = map[string]string{"debian": "-slim", "oraclelinux": "-slim", "amazonlinux": "-minimal"}

func checkBaseFull(d *Dockerfile, _ *Config) []found {
	base, line := d.finalBase()
	_, name, tag, _ := parts(base)
	if base == "" || tag == "" || tag == "latest" || strings.Contains(tag, "slim") || strings.Contains(tag, "alpine") || strings.Contains(tag, "minimal") || strings.Contains(tag, "distroless") {
		return nil
	}
	fix := ""
	switch suffix, distribution := distributions[name]; {
	case slices.Contains(fullImages, name):
		fix = fmt.Sprintf("%s:%s-slim, where its packages are enough", name, tag)
	case distribution:
		fix = fmt.Sprintf("%s:%s%s, where its packages are enough", name, tag, suffix)
	default:
		return nil
	}
	return []found{{line: line, text: fmt.Sprintf("the final image begins with all of %s:%s", name, tag), fix: fix}}
}

// finalBase is the image that the final image begins with, and the line of its FROM.
func (d *Dockerfile) finalBase() (image string, line int) {
	for i := len(d.Stages) - 1; i >= 0; i = d.Stages[i].Parent {
		if d.Stages[i].Parent < 0 {
			return d.Stages[i].Base, d.Stages[i].Line
		}
	}
	return "", 0
}

// sdks are images whose purpose is to compile, by their names without the registry.
var sdks = []string{"golang", "rust", "gcc", "gradle", "maven", "swift", "haskell", "dotnet/sdk", "rustlang/rust", "clang", "buildpack-deps", "elixir", "sbt", "dart"}

// compilers are packages and commands that compile.
var (
	compilerPackages = []string{"build-essential", "gcc", "g++", "clang", "cmake", "make", "build-base", "rustc", "cargo", "golang", "golang-go", "go", "maven", "gradle", "default-jdk", "gcc-c++", "python3-dev", "musl-dev"}
	compilerCommands = map[string][]string{
		"go": {"build", "install"}, "cargo": {"build", "install"}, "mvn": {"package", "install", "verify"}, "gradle": {"build", "assemble", "bootJar"},
		"make": nil, "cmake": nil, "gcc": nil, "g++": nil, "rustc": nil, "javac": nil, "dotnet": {"build", "publish"},
	}
)

// undoes are commands that remove all that was installed for one step.
var undoes = regexp.MustCompile(`--auto-remove|\bautoremove\b|\bapk\b.*\bdel\b`)

func checkSDKFinal(d *Dockerfile, _ *Config) (all []found) {
	base, line := d.finalBase()
	if _, name, tag, _ := parts(base); base != "" && d.runs() && (slices.Contains(sdks, name) || strings.Contains(name, "jdk") && !strings.Contains(tag, "jre") || strings.HasSuffix(tag, "-dev") || strings.Contains(tag, "-jdk")) {
		return []found{{line: line, text: fmt.Sprintf("the final image begins with %s, which has a compiler", base)}}
	}
	removed := map[string]bool{}
	d.imageSteps(func(_ *Stage, s *Step) {
		for _, p := range removedPackages(s.Script) {
			removed[p] = true
		}
	})
	d.imageSteps(func(_ *Stage, s *Step) {
		if s.Script != nil && undoes.MatchString(s.Script.Text) {
			return // the step removes what it has compiled with
		}
		for _, c := range calls(s.Script) {
			if in := installOf(c); in != nil {
				for _, p := range in.packages {
					if name := packageName(p); slices.Contains(compilerPackages, name) && !removed[name] && !removed[".virtual"] {
						all = append(all, found{line: d.lineOf(s, name), end: s.End, text: fmt.Sprintf("the final image gets %s", name)})
					}
				}
				continue
			}
			if first, compiles := compilerCommands[c.name()]; compiles && (first == nil || len(c.args()) > 0 && slices.Contains(first, c.args()[0])) && !c.flag("--version", "") {
				all = append(all, found{line: d.lineOf(s, c.name()), end: s.End, text: fmt.Sprintf("the final stage compiles: %s", strings.Join(c.plain()[:min(2, len(c.plain()))], " "))})
			}
		}
	})
	return all
}

func calls(s *Script) []Call {
	if s == nil {
		return nil
	}
	return s.Calls
}
