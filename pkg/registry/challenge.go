package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// challenge is one way to be let in that a registry offers
// (https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate).
type challenge struct {
	scheme     string // in lower case, as the names of the parameters are
	parameters map[string]string
}

// parseChallenges reads a WWW-Authenticate header, which may hold several. What makes no sense in
// it is passed over.
func parseChallenges(header string) (all []challenge) {
	for rest := header; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return all
		}
		n := strings.IndexAny(rest, " \t,=\"")
		if n < 0 {
			n = len(rest)
		}
		word := strings.ToLower(rest[:n])
		rest = strings.TrimLeft(rest[n:], " \t")
		switch {
		case word == "":
			rest = rest[1:]
		case strings.HasPrefix(rest, "=") && len(all) > 0:
			all[len(all)-1].parameters[word], rest = parseValue(strings.TrimLeft(rest[1:], " \t"))
		default:
			all = append(all, challenge{word, map[string]string{}})
		}
	}
}

// parseValue reads a token, or a quoted string, and returns what is behind it.
func parseValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		n := strings.IndexAny(text, " \t,")
		if n < 0 {
			n = len(text)
		}
		return text[:n], text[n:]
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:]
		case '\\':
			if i++; i == len(text) {
				return b.String(), ""
			}
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// firstUsable is the first challenge that a password can meet.
func firstUsable(all []challenge) (challenge, bool) {
	for _, c := range all {
		if c.scheme == "basic" || c.scheme == "bearer" {
			return c, true
		}
	}
	return challenge{}, false
}

// statusError is an answer that is not 200.
type statusError struct {
	code       int
	said       string // the registry's own words, if it has any
	challenges []challenge
}

func newStatusError(resp *http.Response, body []byte) *statusError {
	e := &statusError{code: resp.StatusCode}
	for _, header := range resp.Header.Values("WWW-Authenticate") {
		e.challenges = append(e.challenges, parseChallenges(header)...)
	}
	// https://distribution.github.io/distribution/spec/api/#errors
	var parsed struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
		Details string `json:"details"` // Hub's token server
	}
	if json.Unmarshal(body, &parsed) == nil {
		e.said = parsed.Details
		if len(parsed.Errors) > 0 {
			e.said = parsed.Errors[0].Message
		}
		e.said = firstLine(e.said)
	}
	return e
}

func (e *statusError) Error() string {
	if e.said != "" {
		return e.said
	}
	return fmt.Sprintf("%d %s", e.code, http.StatusText(e.code))
}
