// Package sharedimages keeps the image records of two containerd namespaces the same: what a client of one namespace pulls, builds,
// tags or removes, the clients of the other see. containerd shares the blobs; here they are only made known, never copied.
//
// It must not know who the clients are: no daemon, no command. What it has to know of them (which images their containers use, under
// which name one keeps an image that lost its name) is given to it as functions.
//
// What was the same when is remembered in a file of our own, not in labels of the records. Clients copy a record's labels to
// another name when they tag (moby's TagImage, nerdctl's build with two tags): the new name would look like one that the other side
// removed. Others replace a record with its labels (BuildKit's exporter, containerd's pull and transfer). And each label written is an event
// that both sides' clients show.
package sharedimages

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

// Client is what the keeper uses of containerd; *client.Client is one.
type Client interface {
	ImageService() images.Store
	ContentStore() content.Store
	LeasesService() leases.Manager
	events.Subscriber
}

// Keeper keeps the records of two namespaces the same. All fields but InUse, Aside and Log have to be set.
type Keeper struct {
	Client Client
	// Sides are the two namespaces. Where both sides made a record at the same instant, the first one's is taken.
	Sides [2]string
	// Memory is the file that remembers what was the same; its directory has to be there. Remove it when a namespace is
	// emptied from outside, while no keeper runs: what the other one has is copied then, instead of removed.
	Memory string
	// InUse returns the images that containers of a side use, stopped ones too: names as in the records (with registry and
	// tag), or digests of targets, or both. A name that is in it is kept as it is named; a digest is kept under one name at least.
	// An error puts the removal of images off.
	InUse func(ctx context.Context, side string) (map[string]bool, error)
	// Aside returns the name under which a side keeps an image that containers there use by digest, when its last name is given to
	// another image. "" says that the side does not do that.
	Aside func(side string, target digest.Digest) string
	Log   logrus.FieldLogger

	times times
}

// times are how long things wait. The zero value stands for defaultTimes.
type times struct {
	// A client that replaces a record may delete it and create it again: that is no removal. putBack is longer, since
	// the client's creation fails when we were first, and its deletion may wait for the garbage collector.
	remove, putBack time.Duration
	// What failed is tried again after retry, and twice as long each time until retryLimit.
	retry, retryLimit time.Duration
	// Events can be lost while containerd is connected to, so that all is listed again after relist, and then at each interval.
	relist, interval time.Duration
	// The memory is written when nothing is left to do, and at least so often.
	save time.Duration
}

var defaultTimes = times{
	remove: 300 * time.Millisecond, putBack: 3 * time.Second,
	retry: time.Second, retryLimit: time.Minute,
	relist: time.Second, interval: 10 * time.Minute,
	save: time.Second,
}

// answerLimit ends a call that containerd does not answer; one image is dealt with in that time.
const answerLimit = time.Minute
