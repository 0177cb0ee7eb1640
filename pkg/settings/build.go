package settings

import (
	"fmt"
	"strings"
	"unicode"
)

// CacheMounts says which builds have a cache mount in common.
type CacheMounts string

// MountsOfProject are apart for each project; MountsShared are one for all, by their id alone.
const (
	MountsOfProject CacheMounts = "project"
	MountsShared    CacheMounts = "shared"
)

func (c *CacheMounts) kind() string { return "text" }

// String is the text as it stands in the file.
func (c CacheMounts) String() string { return string(c) }

func (c *CacheMounts) set(text string) *fault {
	return oneOf(c, text, MountsOfProject, MountsShared)
}

// Name is one line of text without a space, or empty.
type Name string

// longestName bounds a name, in bytes.
const longestName = 200

func (n *Name) kind() string { return "text" }

// String is the text as it stands in the file.
func (n Name) String() string { return string(n) }

func (n *Name) set(text string) *fault {
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return &fault{fmt.Sprintf("%q is not a name", text), `write it without spaces, like "example.com/team/shop"`}
	case len(text) > longestName:
		return &fault{text: fmt.Sprintf("the name has %d bytes, and may have %d", len(text), longestName)}
	}
	*n = Name(text)
	return nil
}
