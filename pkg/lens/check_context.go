package lens

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

func contextChecks() []*Check {
	return []*Check{
		{
			ID: "context-root", Title: "The context is a project", Level: Error, Questions: []string{"PERF_01"}, Practices: []string{"no-home"},
			Why:     "A home or system directory is sent whole, with keys and everything that a user has.",
			Fix:     "give the Dockerfile a directory of its own",
			context: checkContextRoot,
		},
		{
			ID: "no-dockerignore", Title: "There is a .dockerignore", Level: Warning, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"dockerignore"},
			Why:     "A COPY of everything takes what is there: version control, dependencies for another system, what was built, logs.",
			Fix:     "write .dockerignore: .git, what is built, what is installed, logs",
			URL:     "https://docs.docker.com/build/concepts/context/#dockerignore-files",
			context: checkNoIgnore,
		},
		{
			ID: "context-junk", Title: "What no image needs is not sent", Level: Warning, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"dockerignore"},
			Why:     "Each build reads and sends it, and any change of it spoils the cache of the COPY.",
			Fix:     "list it in .dockerignore",
			context: checkJunk,
		},
		{
			ID: "context-size", Title: "The context is small", Level: Warning, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"dockerignore"},
			Why:     "What is copied is sent, hashed and stored. The bound is the project's: budgets.context in .linnet/lens.yaml.",
			Fix:     "list what the image does not need in .dockerignore",
			context: checkContextSize,
		},
		{
			ID: "context-secret", Title: "No secret is in the context", Level: Warning, Questions: []string{"PERF_01", "SEC_05"}, Practices: []string{"sensitive-context"},
			Why:     "The next COPY of its directory takes it along.",
			Fix:     "list it in .dockerignore",
			context: checkContextSecret,
		},
		{
			ID: "large-asset", Title: "No large media in the image", Level: Info, Questions: []string{"OPS_01"}, Practices: []string{"assets"},
			Why:     "Media in an image are fetched by each machine at each release. The bound is the project's: budgets.file in .linnet/lens.yaml.",
			Fix:     "keep it in object storage or a volume",
			context: checkAssets,
		},
	}
}

func checkContextRoot(x *Context, _ *Config) []found {
	if x.Refused == "" {
		return nil
	}
	return []found{{text: fmt.Sprintf("the build context is %s", x.Refused)}}
}

func checkNoIgnore(x *Context, _ *Config) []found {
	if !x.Broad || x.Ignored || x.Refused != "" {
		return nil
	}
	return []found{{text: "everything is copied, and there is no .dockerignore", fix: "write " + path.Join(x.Dir, ".dockerignore") + ": .git, what is built, what is installed, logs"}}
}

// junk is what no image needs, by what a user would list.
var junk = []string{".git", "node_modules", "**/__pycache__", ".venv", "target", ".terraform", ".gradle", ".idea", ".nyc_output", "*.log", ".DS_Store", "*.tar.gz"}

// junkDirs are directories of junk, with what has to be in them where their names alone do not say so.
var junkDirs = map[string]struct {
	list  string
	inner []string
}{
	".git": {list: ".git"}, "node_modules": {list: "node_modules"}, "__pycache__": {list: "**/__pycache__"}, ".terraform": {list: ".terraform"},
	".gradle": {list: ".gradle"}, ".idea": {list: ".idea"}, ".nyc_output": {list: ".nyc_output"},
	".venv": {list: ".venv", inner: []string{"bin", "lib", "pyvenv.cfg"}}, "venv": {list: ".venv", inner: []string{"bin", "lib", "pyvenv.cfg"}},
	"target": {list: "target", inner: []string{"debug", "release", "classes", "surefire-reports"}},
}

// archived are endings of archives that lie at the top of a project.
var archived = []string{".tar", ".tar.gz", ".tgz", ".zip", ".7z", ".iso", ".dump", ".bak"}

// junkOf is what of junk a file is; "" for others. There are tens of thousands of files: it makes no copy of a path.
func junkOf(file string) string {
	for rest := file; ; {
		dir, after, deeper := strings.Cut(rest, "/")
		if !deeper {
			break
		}
		if kind, ok := junkDirs[dir]; ok {
			next, _, _ := strings.Cut(after, "/")
			if kind.inner == nil || slices.Contains(kind.inner, next) {
				return kind.list
			}
		}
		rest = after
	}
	switch {
	case strings.HasSuffix(file, ".log"):
		return "*.log"
	case strings.HasSuffix(file, ".pyc"):
		return "**/__pycache__"
	case strings.HasSuffix(file, ".DS_Store"):
		return ".DS_Store"
	case !strings.Contains(file, "/") && slices.ContainsFunc(archived, func(end string) bool { return strings.HasSuffix(file, end) }):
		return "*.tar.gz"
	}
	return ""
}

func checkJunk(x *Context, _ *Config) (all []found) {
	if !x.Broad {
		return nil // only what a COPY names is sent
	}
	type sum struct {
		files int
		bytes int64
		first string
	}
	sums := map[string]*sum{}
	for _, f := range x.Files {
		kind := junkOf(f.Path)
		if kind == "" {
			continue
		}
		if sums[kind] == nil {
			sums[kind] = &sum{first: f.Path}
		}
		sums[kind].files++
		sums[kind].bytes += f.Size
	}
	for _, kind := range junk {
		if s := sums[kind]; s != nil {
			all = append(all, found{text: fmt.Sprintf("the build sends %s: %s, %s, such as %s", kind, count(s.files, "file"), size(s.bytes), s.first), fix: "list it in .dockerignore: " + kind})
		}
	}
	return all
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size is a number of bytes in people's units.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func checkContextSize(x *Context, c *Config) []found {
	if !x.Broad {
		return nil
	}
	var total int64
	for _, f := range x.Files {
		total += f.Size
	}
	if total <= c.Budgets.Context {
		return nil
	}
	largest := slices.Clone(x.Files)
	slices.SortStableFunc(largest, func(a, b File) int { return cmp.Compare(b.Size, a.Size) })
	const most = 10
	var names []string
	for _, f := range largest[:min(most, len(largest))] {
		names = append(names, fmt.Sprintf("%s (%s)", f.Path, size(f.Size)))
	}
	return []found{{text: fmt.Sprintf("the context has %s in %s, and %s are the budget; the largest: %s", size(total), count(len(x.Files), "file"), size(c.Budgets.Context), strings.Join(names, ", "))}}
}

func checkContextSecret(x *Context, _ *Config) []found {
	var names []string
	for _, f := range x.secrets() {
		names = append(names, f.Path)
	}
	if len(names) == 0 {
		return nil
	}
	return []found{{text: "the context has " + some(names), fix: "list it in .dockerignore: " + names[0]}}
}

var media = regexp.MustCompile(`(?i)\.(mp4|mov|avi|mkv|webm|mp3|wav|flac|psd|tiff?|bmp|iso|dmg|msi|exe|vhdx?|vmdk|qcow2|onnx|pt|pth|safetensors|gguf|h5|parquet|csv|sqlite|db)$`)

func checkAssets(x *Context, c *Config) (all []found) {
	for _, f := range x.Files {
		if f.Size > c.Budgets.File && media.MatchString(f.Path) && x.Broad {
			all = append(all, found{text: fmt.Sprintf("the build sends %s, of %s", f.Path, size(f.Size))})
		}
	}
	return all
}
