package plan

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The labels by which what belongs to a project is found, as docker compose has them.
const (
	ProjectLabel   = "com.docker.compose.project"
	ServiceLabel   = "com.docker.compose.service"
	NumberLabel    = "com.docker.compose.container-number"
	OneOffLabel    = "com.docker.compose.oneoff"
	HashLabel      = "com.docker.compose.config-hash"
	ImageLabel     = "com.docker.compose.image"
	DependsOnLabel = "com.docker.compose.depends_on"
	ReplaceLabel   = "com.docker.compose.replace"
	// VolumeImagesLabel has a digest of the images that are mounted as volumes.
	VolumeImagesLabel = "com.docker.compose.image-volume-digest"
	DirLabel          = "com.docker.compose.project.working_dir"
	FilesLabel        = "com.docker.compose.project.config_files"
	NetworkLabel      = "com.docker.compose.network"
	VolumeLabel       = "com.docker.compose.volume"
)

// KeysLabel is ours: digests of a service's keys, by which a change is told by the key's name.
const KeysLabel = "dev.linnet.compose.keys"

// Status is what a container does.
type Status string

// The statuses, as docker names them.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Exited     Status = "exited"
	Dead       Status = "dead"
)

// Health is what a container's check says.
type Health string

// The states of health; the empty one is a container's that has no check.
const (
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// State is what was observed of a project.
type State struct {
	// Containers are all that have the project's label, one-off ones among them.
	Containers []Container
	// Networks and Volumes are those with the project's label, and those that have the names of the project's without it.
	Networks []Network
	Volumes  []Volume
	// Images are those of the project's that are there, by the name that the project has for them.
	Images map[string]Image
}

// Container is one that was observed.
type Container struct {
	ID, Name string
	// Service, Number, OneOff, Hash, ImageID and Replaces are what the labels say; ReadLabels takes them from there.
	Service  string
	Number   int
	OneOff   bool
	Hash     string
	ImageID  string
	Replaces string

	Status    Status
	Health    Health
	ExitCode  int
	StartedAt time.Time

	// Networks are those that it is connected to, also while it does not run.
	Networks []Endpoint
	Mounts   []Mount
	// Shares are the IDs of the containers whose namespaces or volumes it uses; nil says that it is not known.
	Shares []string
	Labels map[string]string
}

// Mount is a volume in a container.
type Mount struct {
	// Volume is the volume's name, Target the path in the container.
	Volume, Target string
	// Anonymous says that no project names it.
	Anonymous bool
}

// Network is one that was observed.
type Network struct {
	// Key is the project's word for it, from its label; empty of one that is not of the project.
	Key, Name, ID string
	// Hash is that of its configuration; one without is taken as it is.
	Hash   string
	Labels map[string]string
	// Others says that containers of other projects are connected to it.
	Others bool
}

// Volume is one that was observed.
type Volume struct {
	Key, Name, Hash string
	Labels          map[string]string
	// Others says that containers of other projects use it.
	Others bool
}

// Image is one that is there.
type Image struct {
	// ID is its digest.
	ID string
	// PulledAt is when it came; zero when that is not known.
	PulledAt time.Time
	// Service is the service of this project that it was built for; empty when it was not.
	Service string
	// Volumes are the paths that it has volumes at.
	Volumes []string
}

// ReadLabels sets what the labels say. nerdctl's compose, and a linnet that ran it, wrote neither number nor one-off: they
// are read from the name there.
func (c *Container) ReadLabels() {
	c.Service = c.Labels[ServiceLabel]
	c.Hash, c.ImageID, c.Replaces = c.Labels[HashLabel], c.Labels[ImageLabel], c.Labels[ReplaceLabel]
	c.OneOff = strings.EqualFold(c.Labels[OneOffLabel], "true")
	number, numbered := c.Labels[NumberLabel]
	c.Number, _ = strconv.Atoi(number)
	if numbered {
		return
	}
	rest, ok := strings.CutPrefix(c.Name, c.Labels[ProjectLabel]+"-"+c.Service+"-")
	if !ok {
		rest, ok = strings.CutPrefix(c.Name, c.Labels[ProjectLabel]+"_"+c.Service+"_")
	}
	c.OneOff = c.OneOff || ok && strings.HasPrefix(rest, "run-")
	if c.Number, _ = strconv.Atoi(rest); c.Number < 1 && !c.OneOff {
		c.Number = 1 // container_name: there is one
	}
}

// foreign reports whether another compose made the container: its hash is another one's.
func (c *Container) foreign() bool {
	_, numbered := c.Labels[NumberLabel]
	return c.Hash == "" || !numbered
}

// ReadLabels sets what the labels say.
func (n *Network) ReadLabels() { n.Key, n.Hash = n.Labels[NetworkLabel], n.Labels[HashLabel] }

// ReadLabels sets what the labels say.
func (v *Volume) ReadLabels() { v.Key, v.Hash = v.Labels[VolumeLabel], v.Labels[HashLabel] }

// active reports whether the container has a process.
func (c *Container) active() bool {
	return c.Status == Running || c.Status == Paused || c.Status == Restarting
}

// on finds the container's place in a network.
func (c *Container) on(n Network) bool {
	return slices.ContainsFunc(c.Networks, func(e Endpoint) bool {
		return e.Network == n.Name && (e.ID == "" || n.ID == "" || e.ID == n.ID)
	})
}

func (c *Container) mounts(volume string) bool {
	return slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Volume == volume })
}

// statusText is what the container does, as a cause has it.
func (c *Container) statusText() string {
	switch c.Status {
	case Exited:
		return "it has exited with " + strconv.Itoa(c.ExitCode)
	case Created:
		return "it was not started"
	}
	return "it is " + string(c.Status)
}

// byNumber is the order of a service's containers.
func byNumber(a, b *Container) int {
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
}

// network finds the one for a key: that of the wanted name, or else the first of those with the label.
func (s *State) network(key, name string) *Network {
	return pick(s.Networks, key, name, func(n *Network) (string, string) { return n.Key, n.Name })
}

// volume finds the one for a key.
func (s *State) volume(key, name string) *Volume {
	return pick(s.Volumes, key, name, func(v *Volume) (string, string) { return v.Key, v.Name })
}

func pick[T any](all []T, key, name string, of func(*T) (key, name string)) (found *T) {
	for i := range all {
		k, n := of(&all[i])
		if n == name {
			return &all[i]
		}
		if k != key || key == "" {
			continue
		}
		if found != nil {
			if _, best := of(found); best < n {
				continue
			}
		}
		found = &all[i]
	}
	return found
}
