// Package hint has the error that also says what to do about it. Every package of ours that meets a user's mistake may use
// it; it must not know any of them. An error of another type takes part by a method Hint() string.
package hint

import (
	"errors"
	"strings"
)

// Error is an error with the one thing to do about it.
type Error struct {
	Err error
	// Fix is what to do, one line without a full stop.
	Fix string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns Fix.
func (e *Error) Hint() string { return e.Fix }

// With is an error with a hint.
func With(err error, fix string) error { return &Error{Err: err, Fix: fix} }

// New is an error with a text and a hint.
func New(text, fix string) error { return With(errors.New(text), fix) }

// Of returns the hint of the outermost error in err's tree that has one; "" says that none has.
func Of(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

// mark stands between an error and its hint in a text of both.
const mark = "\nhint: "

// Format is an error and its hint as one text, which Cut takes apart.
func Format(text, fix string) string {
	if fix == "" {
		return text
	}
	return text + mark + fix
}

// Cut takes the text of an error and its hint apart; fix is "" without a hint. The text itself may have lines that look like hints.
func Cut(formatted string) (text, fix string) {
	if i := strings.LastIndex(formatted, mark); i >= 0 {
		return formatted[:i], formatted[i+len(mark):]
	}
	return formatted, ""
}
