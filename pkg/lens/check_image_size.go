package lens

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

func imageSizeChecks() []*Check {
	return []*Check{
		{
			ID: "image-size", Title: "The image is small", Level: Warning, Questions: []string{"PERF_01", "COST_04"}, Practices: []string{"budget"},
			Why:   "Each machine fetches and unpacks it before the first start. The bound is the project's: budgets.image in .linnet/lens.yaml.",
			Fix:   "begin with a smaller image, and copy from a stage that builds only what the program needs",
			image: checkImageSize,
		},
		{
			ID: "image-layers", Title: "The image has few layers", Level: Info, Questions: []string{"COST_04"}, Practices: []string{"budget", "few-layers"},
			Why:   "Each layer is fetched and mounted. The bound is the project's: budgets.layers in .linnet/lens.yaml.",
			Fix:   "join steps that belong together, or build in a stage of its own",
			image: checkImageLayers,
		},
		{
			ID: "image-waste", Title: "No layer hides bytes of another", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"waste", "removed-later"},
			Why:   "What a later layer removes or replaces is fetched all the same, and all who have the image can read it.",
			Fix:   "remove it in the step that makes it; change modes and owners as it is copied: COPY --chmod, COPY --chown",
			image: checkImageWaste,
		},
		{
			ID: "image-copies", Title: "No file is there twice", Level: Info, Questions: []string{"COST_04"}, Practices: []string{"waste"},
			Why:   "The same bytes under two names are stored twice.",
			Fix:   "make a link: ln -s",
			image: checkImageCopies,
		},
		{
			ID: "image-leftovers", Title: "Package managers have left nothing behind", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"leftovers"},
			Why:   "Lists and archives of packages are of no use in an image that installs no more.",
			Fix:   "remove them in the step that installs, or mount a cache there: RUN --mount=type=cache,target=DIRECTORY",
			image: checkImageLeftovers,
		},
		{
			ID: "image-ballast", Title: "The image has what runs, and no more", Level: Info, Questions: []string{"COST_03"}, Practices: []string{"ballast"},
			Why:   "Documentation, translations, tests and a repository's history are read by no program in a container.",
			Fix:   "leave it out where it is installed or copied: .dockerignore, --no-install-recommends, dpkg's path-exclude, PYTHONDONTWRITEBYTECODE=1",
			image: checkImageBallast,
		},
	}
}

// smallest is from how many bytes on something is told of.
const smallest = 1 << 20

func checkImageSize(i *Image, c *Config) []found {
	var bytes int64
	most := 0
	for n, l := range i.Layers {
		bytes += l.Size
		if l.Size > i.Layers[most].Size {
			most = n
		}
	}
	if bytes <= c.Budgets.Image {
		return nil
	}
	return []found{{
		text:  fmt.Sprintf("the image has %s, and may have %s; most of it, %s, is in %s", size(bytes), size(c.Budgets.Image), size(i.Layers[most].Size), i.of(most)),
		place: i.place(most, "", bytes),
	}}
}

func checkImageLayers(i *Image, c *Config) []found {
	if len(i.Layers) <= c.Budgets.Layers {
		return nil
	}
	return []found{{text: fmt.Sprintf("the image has %d layers, and may have %d", len(i.Layers), c.Budgets.Layers)}}
}

// checkImageWaste sums up by the two layers.
func checkImageWaste(i *Image, _ *Config) (all []found) {
	type pair struct{ by, layer int }
	groups := map[pair][]hiding{}
	for _, h := range i.tree().hidden {
		if h.Size > 0 {
			at := pair{h.by, h.layer}
			groups[at] = append(groups[at], h)
		}
	}
	order := slices.SortedFunc(maps.Keys(groups), func(a, b pair) int { return cmp.Or(a.by-b.by, a.layer-b.layer) })
	for _, at := range order {
		var bytes int64
		removed, same, largest := 0, 0, groups[at][0]
		for _, h := range groups[at] {
			bytes += h.Size
			if h.removed {
				removed++
			} else if h.same {
				same++
			}
			if h.Size > largest.Size {
				largest = h
			}
		}
		if bytes < smallest {
			continue
		}
		n := len(groups[at])
		does := "replaces"
		switch {
		case removed == n:
			does = "removes"
		case removed > 0:
			does = "removes or replaces"
		case same == n:
			does = "changes no more than modes or owners of"
		}
		f := found{
			text:  fmt.Sprintf("%s %s %s with %s of %s: %s", i.of(at.by), does, count(n, "file"), size(bytes), i.of(at.layer), largestOf(n, largest.Path, largest.Size)),
			place: i.place(at.by, largest.Path, bytes),
		}
		if at.layer == 0 && len(i.Layers) > 1 {
			f.level, f.fix = Info, "begin with an image that does not have it"
		}
		all = append(all, f)
	}
	return all
}

// largestOf names the only file, or the largest of several.
func largestOf(n int, path string, bytes int64) string {
	if n == 1 {
		return path
	}
	return fmt.Sprintf("the largest is %s, %s", path, size(bytes))
}

func checkImageCopies(i *Image, _ *Config) []found {
	type content struct {
		sum  uint64
		size int64
	}
	const least = 4096
	seen := map[content][]ref{}
	var order []content
	for _, f := range i.tree().files {
		if f.Kind == kindFile && f.Size >= least && f.Sum != 0 {
			at := content{f.Sum, f.Size}
			if seen[at] = append(seen[at], f); len(seen[at]) == 2 {
				order = append(order, at)
			}
		}
	}
	var bytes int64
	n := 0
	for _, at := range order {
		bytes += at.size * int64(len(seen[at])-1)
		n += len(seen[at]) - 1
	}
	if bytes < smallest {
		return nil
	}
	slices.SortStableFunc(order, func(a, b content) int {
		return cmp.Compare(b.size*int64(len(seen[b])-1), a.size*int64(len(seen[a])-1))
	})
	first := seen[order[0]]
	text := fmt.Sprintf("%s with %s have the bytes of another: %s is %s", count(n, "file"), size(bytes), first[1].Path, first[0].Path)
	if n == 1 {
		text = strings.Replace(text, "have the bytes", "has the bytes", 1)
	}
	return []found{{text: text, place: i.place(first[1].layer, first[1].Path, bytes)}}
}

// heap is a kind of files of which the bytes are told together.
type heap struct {
	what string
	is   func(name string) bool
}

func below(dirs ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool {
			if rest, any := strings.CutPrefix(d, "*/"); any {
				return strings.Contains("/"+name, "/"+rest+"/")
			}
			return strings.HasPrefix(name, d+"/")
		})
	}
}

// leftovers are what package managers leave.
var leftovers = []heap{
	{"apt's lists", below("var/lib/apt/lists")},
	{"apt's archives", below("var/cache/apt")},
	{"apk's cache", func(name string) bool {
		return below("var/cache/apk", "etc/apk/cache")(name) || strings.HasPrefix(path.Base(name), "APKINDEX.")
	}},
	{"dnf's and yum's caches", below("var/cache/dnf", "var/cache/yum", "var/cache/libdnf5")},
	{"pip's cache", below("*/.cache/pip", "*/.cache/uv")},
	{"npm's cache", below("*/.npm/_cacache", "*/.cache/yarn", "*/.yarn/cache", "*/.local/share/pnpm/store")},
	{"Go's caches", below("*/.cache/go-build", "*/go/pkg/mod/cache")},
	{"Cargo's registry", below("*/.cargo/registry", "*/cargo/registry")},
	{"Maven's and Gradle's caches", below("*/.m2/repository", "*/.gradle/caches")},
	{"gem's cache", below("*/.bundle/cache", "*/.gem/specs")},
}

// ballast are kinds of files that no program in a container reads.
var ballast = []heap{
	{"repositories' histories", below("*/.git")},
	{"documentation", below("usr/share/doc", "usr/share/info", "usr/share/gtk-doc", "usr/local/share/doc")},
	{"man pages", below("usr/share/man", "usr/local/share/man", "usr/local/man")},
	{"translations", below("usr/share/locale", "usr/share/i18n")},
	{"bytecode of Python", func(name string) bool { return strings.HasSuffix(name, ".pyc") }},
	{"tests of packages", func(name string) bool {
		return below("*/node_modules", "*/site-packages", "*/dist-packages")(name) && below("*/test", "*/tests", "*/__tests__")(name)
	}},
}

func checkImageLeftovers(i *Image, _ *Config) []found { return i.heaps(leftovers, 64<<10) }

func checkImageBallast(i *Image, _ *Config) []found { return i.heaps(ballast, smallest) }

// heaps tells of kinds of files that have some bytes together, by the layer that has most of them.
func (i *Image) heaps(kinds []heap, least int64) (all []found) {
	sizes, files := make([]map[int]int64, len(kinds)), make([]map[int]ref, len(kinds))
	numbers := make([]int, len(kinds))
	for _, f := range i.tree().files {
		if f.Kind != kindFile || f.Size == 0 {
			continue
		}
		k := slices.IndexFunc(kinds, func(h heap) bool { return h.is(f.Path) })
		if k < 0 {
			continue
		}
		if sizes[k] == nil {
			sizes[k], files[k] = map[int]int64{}, map[int]ref{}
		}
		sizes[k][f.layer] += f.Size
		numbers[k]++
		if f.Size > files[k][f.layer].size() {
			files[k][f.layer] = f
		}
	}
	for k, h := range kinds {
		var bytes int64
		most := -1
		for _, layer := range slices.Sorted(maps.Keys(sizes[k])) {
			bytes += sizes[k][layer]
			if most < 0 || sizes[k][layer] > sizes[k][most] {
				most = layer
			}
		}
		if bytes < least {
			continue
		}
		largest := files[k][most]
		all = append(all, found{
			text:  fmt.Sprintf("%s: %s with %s, most in %s: %s", h.what, count(numbers[k], "file"), size(bytes), i.of(most), largestOf(numbers[k], largest.Path, largest.Size)),
			place: i.place(most, largest.Path, bytes),
		})
	}
	return all
}

func (r ref) size() int64 {
	if r.Entry == nil {
		return 0
	}
	return r.Size
}
