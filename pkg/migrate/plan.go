package migrate

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Item is one thing that an engine has, and what becomes of it.
type Item struct {
	// Kind is image, volume, container or network.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// ID is an image's; it is empty for all others. Size is an image's in bytes.
	ID   string `json:"id,omitempty"`
	Size int64  `json:"size,omitempty"`
	// Tags are an image's.
	Tags []string `json:"tags,omitempty"`
	Fate Fate     `json:"fate"`
	// Why says why it is not taken, or what to know when it is.
	Why string `json:"why,omitempty"`
}

// Fate is what becomes of an Item.
type Fate string

// The fates.
const (
	Take  Fate = "take"  // it is copied
	There Fate = "there" // it is here already
	Leave Fate = "leave" // it cannot be taken
)

// Here is what the engine that takes has.
type Here struct {
	// Images are the IDs that an image goes by, by its tag: those of its configuration and of its manifest, since engines differ in
	// which of them they call its ID.
	Images map[string][]string
	// Volumes is how far each volume has come by its name.
	Volumes map[string]State
}

// State is how far a volume has come that is here.
type State uint8

// The states. The zero value is a volume that is not here.
const (
	Absent State = iota
	Partial
	Whole
	Foreign // it was not made by a migration
)

// Wanted says what a user wants of what there is. Without names it is everything.
type Wanted struct {
	Images, Volumes bool
	Names           []string
}

// Plan says what becomes of each thing, images first. What was not asked for is not in it. unknown are the names of Wanted that are nothing's.
func Plan(i Inventory, here Here, w Wanted) (items []Item, unknown []string) {
	if w.Images {
		items = append(items, planImages(i, here)...)
	}
	if w.Volumes {
		items = append(items, planVolumes(i, here)...)
	}
	if len(w.Names) > 0 {
		for _, name := range w.Names {
			if !slices.ContainsFunc(items, func(i Item) bool { return i.called(name) }) {
				unknown = append(unknown, name)
			}
		}
		return slices.DeleteFunc(items, func(i Item) bool { return !slices.ContainsFunc(w.Names, i.called) }), unknown
	}
	if w.Images && w.Volumes {
		items = append(items, planOthers(i)...)
	}
	return items, nil
}

// called reports whether a name that was typed means the item.
func (i Item) called(name string) bool {
	return name == i.Name || slices.Contains(i.Tags, name) || slices.Contains(i.Tags, name+":latest") ||
		len(name) >= 12 && strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), strings.TrimPrefix(name, "sha256:"))
}

func planImages(i Inventory, here Here) (items []Item) {
	for _, image := range i.Images {
		tags := slices.DeleteFunc(slices.Sorted(slices.Values(image.RepoTags)), func(t string) bool { return strings.Contains(t, "<none>") })
		if slices.ContainsFunc(tags, func(t string) bool { return strings.TrimPrefix(t, "localhost/") == helperImage+":latest" }) {
			continue
		}
		item := Item{Kind: "image", ID: image.ID, Size: image.Size, Tags: tags, Fate: Take}
		if len(tags) == 0 {
			item.Name, item.Fate, item.Why = image.ID, Leave, "it has no name"
			items = append(items, item)
			continue
		}
		item.Name = tags[0]
		if !slices.ContainsFunc(tags, func(t string) bool { return !slices.Contains(here.Images[Familiar(t)], image.ID) }) {
			item.Fate = There
		}
		items = append(items, item)
	}
	slices.SortStableFunc(items, func(a, b Item) int { return cmp.Compare(a.Name, b.Name) })
	return items
}

// Familiar is an image's tag without what every name of Docker's own registry begins with.
func Familiar(tag string) string {
	return strings.TrimPrefix(strings.TrimPrefix(tag, "docker.io/"), "library/")
}

// Put notes the IDs that a tag of an image goes by.
func (h *Here) Put(tag string, ids ...string) {
	if h.Images == nil {
		h.Images = map[string][]string{}
	}
	h.Images[Familiar(tag)] = append(h.Images[Familiar(tag)], ids...)
}

// anonymous is the form of the names that engines give.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

func planVolumes(i Inventory, here Here) (items []Item) {
	running := map[string]string{}
	for _, c := range i.Containers {
		for _, m := range c.Mounts {
			if c.State == "running" && m.Type == "volume" {
				running[m.Name] = c.name()
			}
		}
	}
	for _, v := range i.Volumes {
		item := Item{Kind: "volume", Name: v.Name, Fate: Leave}
		_, labelled := v.Labels["com.docker.volume.anonymous"]
		switch {
		case labelled || anonymous.MatchString(v.Name):
			item.Why = "it has no name: it belongs to a container"
		case v.Driver != "local" && v.Driver != "":
			item.Why = "its files are kept by the driver " + v.Driver
		case v.Options["device"] != "":
			item.Why = "its files are elsewhere: " + v.Options["device"]
		case here.Volumes[v.Name] == Foreign:
			item.Why = "a volume of that name is here: remove it, or copy the files yourself"
		case here.Volumes[v.Name] == Whole:
			item.Fate = There
		default:
			item.Fate = Take
			if by := running[v.Name]; by != "" {
				item.Why = "the container " + by + " runs and may change it meanwhile"
			}
		}
		items = append(items, item)
	}
	slices.SortStableFunc(items, func(a, b Item) int { return cmp.Compare(a.Name, b.Name) })
	return items
}

func planOthers(i Inventory) (items []Item) {
	for _, c := range i.Containers {
		items = append(items, Item{Kind: "container", Name: c.name(), Fate: Leave, Why: "containers are made anew: run, or compose up"})
	}
	for _, n := range i.Networks {
		if slices.Contains([]string{"bridge", "host", "none", "podman"}, n.Name) {
			continue // each engine has its own
		}
		items = append(items, Item{Kind: "network", Name: n.Name, Fate: Leave, Why: "networks are made anew: network create, or compose up"})
	}
	return items
}

func (c Container) name() string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID
}
