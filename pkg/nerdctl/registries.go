package nerdctl

import "strings"

// Registries returns the registries that a command line may have to log in to, as images' names
// begin with them ("docker.io" where one names none). more reports that the line reads a file that
// may name others: a Dockerfile, or a compose file.
func Registries(inv *Invocation) (names []string, more bool) {
	switch use := pulls[commandKey(inv.Path)]; use {
	case firstArg, allArgs:
		args := inv.Args
		if use == firstArg && len(args) > 1 {
			args = args[:1]
		}
		if inv.Bool("rootfs") {
			return nil, false // the argument is a directory
		}
		for _, arg := range args {
			if name := RegistryOf(arg); name != "" {
				names = append(names, name)
			}
		}
	case inFile:
		return nil, true
	}
	return names, false
}

// imageUse says where a command line names the images for which a registry is asked.
type imageUse uint8

const (
	firstArg imageUse = iota + 1
	allArgs
	inFile
)

// pulls are the commands that speak to registries; no other needs credentials of one. What nerdctl
// does itself for login, logout and search goes by the server that they name.
var pulls = map[string]imageUse{
	"run": firstArg, "create": firstArg, "pull": firstArg, "push": firstArg, "search": firstArg,
	// These fetch what is missing of an image that is here in part.
	"tag": firstArg, "save": allArgs, "convert": firstArg, "encrypt": firstArg, "decrypt": firstArg, "commit": inFile,
	"manifest create": allArgs, "manifest inspect": allArgs, "manifest push": allArgs,
	"build": inFile, "debug": inFile,
	"compose build": inFile, "compose create": inFile, "compose pull": inFile, "compose push": inFile,
	"compose run": inFile, "compose up": inFile,
}

// RegistryOf returns the registry that an image's name begins with, as docker reads it
// (splitDockerDomain in github.com/distribution/reference); empty for what is no image of a registry.
func RegistryOf(image string) string {
	if strings.Contains(image, "://") || strings.HasPrefix(image, "/") || strings.HasPrefix(image, ".") || strings.HasPrefix(image, "oci-archive:") {
		return ""
	}
	first, _, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		return "docker.io"
	}
	return first
}
