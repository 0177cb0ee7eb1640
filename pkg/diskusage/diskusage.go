// Package diskusage is what images, containers, volumes and build cache take on an engine's disk, those of linnet's own commands and those
// of clients of Docker's API together. What both have, as the packed layers of an image, counts once. It must not know BuildKit, whose
// records it is given, nor how anything is shown.
package diskusage

import (
	"cmp"
	"maps"
	"slices"
)

// Side is whose something is.
type Side string

// The sides.
const (
	Linnet Side = "linnet" // linnet's own commands
	Docker Side = "docker" // clients of Docker's API
)

// Image is one image, by whatever names. Sizes are in bytes.
type Image struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
	// Size is what the image takes; Shared is the part of it that other images have, too.
	Size   int64 `json:"size"`
	Shared int64 `json:"shared"`
	// Containers is how many containers are of it, on both sides, ended ones too.
	Containers int `json:"containers"`

	// parts are its packed layers and what is unpacked of them, by name: a part that two images have is there once.
	parts map[string]int64
}

// Container is one container. Size is what it has changed in its image's files, in bytes.
type Container struct {
	Side   Side   `json:"side"`
	ID     string `json:"id"`
	Name   string `json:"name"`
	Image  string `json:"image"`
	Active bool   `json:"active"`
	Size   int64  `json:"size"`

	// image is the digest that Image had when the container was made, "" where that is not known.
	image string
}

// Volume is one named volume. Size is in bytes.
type Volume struct {
	Side   Side   `json:"side"`
	Name   string `json:"name"`
	Active bool   `json:"active"` // a container has it, an ended one too
	Size   int64  `json:"size"`
}

// Cache is the build cache of one side. Sizes are in bytes.
type Cache struct {
	Side        Side  `json:"side"`
	Records     int   `json:"records"`
	Active      int   `json:"active"`
	Size        int64 `json:"size"`
	Reclaimable int64 `json:"reclaimable"`
}

// Add counts a record of a size in bytes. What is shared is an image's, and takes nothing of its own.
func (c *Cache) Add(size int64, inUse, shared bool) {
	c.Records++
	switch {
	case shared:
	case inUse:
		c.Active++
		c.Size += size
	default:
		c.Size += size
		c.Reclaimable += size
	}
}

// Usage is all of it.
type Usage struct {
	Images     []Image     `json:"images"`
	Containers []Container `json:"containers"`
	Volumes    []Volume    `json:"volumes"`
	Caches     []Cache     `json:"caches"`
}

// Row is the sum of one kind. Active is what is in use; Reclaimable is what removing all that is not would free, in bytes.
type Row struct {
	Type          string
	Total, Active int
	Size          int64
	Reclaimable   int64
}

// The types of rows, in docker's words.
const (
	Images     = "Images"
	Containers = "Containers"
	Volumes    = "Local Volumes"
	BuildCache = "Build Cache"
)

// finish counts each image's containers, and what it shares with others, and sorts everything.
func (u *Usage) finish() {
	has := map[string]int{}
	for _, i := range u.Images {
		for part := range i.parts {
			has[part]++
		}
	}
	for n := range u.Images {
		i := &u.Images[n]
		for part, size := range i.parts {
			i.Size += size
			if has[part] > 1 {
				i.Shared += size
			}
		}
		for _, c := range u.Containers {
			if c.image == i.ID || c.image == "" && slices.Contains(i.Names, c.Image) {
				i.Containers++
			}
		}
	}
	slices.SortFunc(u.Images, func(a, b Image) int { return cmp.Compare(b.Size, a.Size) })
	slices.SortFunc(u.Containers, func(a, b Container) int { return cmp.Compare(b.Size, a.Size) })
	slices.SortFunc(u.Volumes, func(a, b Volume) int { return cmp.Compare(b.Size, a.Size) })
}

// Rows are the sums, in docker's order.
func (u Usage) Rows() []Row {
	return []Row{u.images(), u.containers(), u.volumes(), u.caches()}
}

func (u Usage) images() Row {
	r := Row{Type: Images, Total: len(u.Images)}
	all, used := map[string]int64{}, map[string]int64{}
	for _, i := range u.Images {
		maps.Copy(all, i.parts)
		if i.Containers > 0 {
			r.Active++
			maps.Copy(used, i.parts)
		}
	}
	r.Size = sum(all)
	r.Reclaimable = r.Size - sum(used)
	return r
}

func sum(parts map[string]int64) (size int64) {
	for _, part := range parts {
		size += part
	}
	return size
}

func (u Usage) containers() Row {
	r := Row{Type: Containers}
	for _, c := range u.Containers {
		r.add(c.Active, c.Size)
	}
	return r
}

func (u Usage) volumes() Row {
	r := Row{Type: Volumes}
	for _, v := range u.Volumes {
		r.add(v.Active, v.Size)
	}
	return r
}

func (u Usage) caches() Row {
	r := Row{Type: BuildCache}
	for _, c := range u.Caches {
		r.Total += c.Records
		r.Active += c.Active
		r.Size += c.Size
		r.Reclaimable += c.Reclaimable
	}
	return r
}

func (r *Row) add(active bool, size int64) {
	r.Total++
	r.Size += size
	if active {
		r.Active++
	} else {
		r.Reclaimable += size
	}
}
