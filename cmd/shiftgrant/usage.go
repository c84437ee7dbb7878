package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes: a command line that has to be written differently is told apart from a command
// that failed, so that a script does not try it again.
// Those of people's commands tell a script what could help: signing in, other SQL, asking again.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitSignIn      = 3
	exitRefused     = 4
	exitNotWhole    = 5
	exitTimedOut    = 124 // as timeout(1) has it
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// usageError is a fault of the command line. It says where to read how the command is written.
type usageError struct {
	problem string
	command *cobra.Command
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s; see `%s --help`", e.problem, e.command.CommandPath())
}

func usage(command *cobra.Command, problem string) error {
	return &usageError{problem, command}
}

func exitCode(err error) int {
	var wrong *usageError
	var nobody *signedOutError
	var program *programError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &program):
		return program.code
	case errors.As(err, &nobody):
		return exitSignIn
	case errors.Is(err, errNotWhole):
		return exitNotWhole
	case errors.Is(err, errTimedOut):
		return exitTimedOut
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case isRefusal(err):
		return exitRefused
	}
	return exitFailed
}

// explainInterrupt leaves out what was interrupted: who did it knows.
func explainInterrupt(ctx context.Context, err error) error {
	var statement *interruptedError
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.As(err, &statement) {
		return errors.New("interrupted")
	}
	return err
}

// explainUsage makes every fault of a command line a usageError, for a command and those beneath.
func explainUsage(command *cobra.Command) {
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return usage(command, err.Error()) })
	if command.HasSubCommands() && !command.Runnable() {
		expectSubcommand(command)
	}
	if check := command.Args; check != nil {
		command.Args = func(command *cobra.Command, args []string) error {
			var wrong *usageError
			err := check(command, args)
			if err == nil || errors.As(err, &wrong) {
				return err
			}
			return usage(command, err.Error())
		}
	}
	for _, beneath := range command.Commands() {
		explainUsage(beneath)
	}
}

// expectSubcommand shows the help of a group of commands, and refuses one that the group has not:
// by itself cobra would show help and call that a success.
func expectSubcommand(group *cobra.Command) {
	group.SuggestionsMinimumDistance = 2
	group.Args = func(group *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		problem := fmt.Sprintf("there is no command %q", args[0])
		if near := group.SuggestionsFor(args[0]); len(near) > 0 {
			problem += " (did you mean " + strings.Join(near, " or ") + "?)"
		}
		return usage(group, problem)
	}
	group.RunE = func(group *cobra.Command, _ []string) error { return group.Help() }
	// A group by itself does nothing: leave it out of its usage.
	group.Annotations = map[string]string{"group": "yes"}
	group.SetUsageTemplate(strings.Replace(group.UsageTemplate(), "{{if .Runnable}}", `{{if and .Runnable (not (index .Annotations "group"))}}`, 1))
}

// oneArgument asks for one argument by its name.
func oneArgument(name string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usage(command, name+" is missing")
		case len(args) > 1:
			return usage(command, fmt.Sprintf("%q is one argument too many", args[1]))
		}
		return nil
	}
}

// noArguments refuses any.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(command, fmt.Sprintf("%q is one argument too many", args[0]))
	}
	return nil
}
