package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func newPgpass() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "pgpass",
		Short: "Print a fresh database password as a line of a PostgreSQL password file",
		Long: `Print a fresh database password of yours as a line of a PostgreSQL password file, or put it into
one: DBeaver, psql and all that use libpq read ~/.pgpass. The password lets you log in for 15 minutes.
The gateway has to give passwords for the warehouse, and the login has to be one with --credentials.
Where people are known by IAM Identity Center there is no password: see shiftgrant token --redshift.`,
		Example: `  shiftgrant pgpass
  shiftgrant pgpass --file ~/.pgpass --profile sales`,
		Args: noArguments,
	}
	profile := withProfile(command)
	command.Flags().StringVar(&file, "file", "", "put the line into this `file`, in place of the one for the same database")
	command.RunE = func(command *cobra.Command, _ []string) error {
		database, err := takeDatabaseLogin(command.Context(), *profile)
		if err != nil {
			return err
		}
		if database.Token != "" {
			return errors.New("this warehouse has no passwords: people log in to it with a token of IAM Identity Center, which no password file can hold; print one with `shiftgrant token --redshift`, or run the program with `shiftgrant exec`")
		}
		if file == "" {
			fmt.Fprintln(command.OutOrStdout(), database.passwordLine())
			return nil
		}
		if err := putPasswordLine(command.Context(), file, database); err != nil {
			return err
		}
		fmt.Fprintf(command.ErrOrStderr(), "%s has a password for %s at %s:%d until %s.\n", file, printable(database.User), printable(database.Host), database.Port, database.ExpiresAt.Local().Format("15:04"))
		return nil
	}
	return command
}

// key is what a line of a password file is for: host:port:database:user, with : and \ escaped.
func (d databaseLogin) key() string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	return strings.Join([]string{escape.Replace(d.Host), strconv.Itoa(d.Port), escape.Replace(d.Database), escape.Replace(d.User)}, ":") + ":"
}

func (d databaseLogin) passwordLine() string {
	return d.key() + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(d.Password)
}

// putPasswordLine puts our line first, because the first that fits is used, and leaves all others. One
// process does so at a time: an editor of databases may open several connections at once.
func putPasswordLine(ctx context.Context, path string, database databaseLogin) error {
	shelf, err := openShelf()
	if err != nil {
		return err
	}
	unlock, err := shelf.Lock(ctx, "pgpass-file")
	if err != nil {
		return err
	}
	defer unlock()
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays
	}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the password file: %w", err)
	}
	var fresh strings.Builder
	fresh.WriteString(database.passwordLine() + "\n")
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, database.key()) {
			fresh.WriteString(line)
		}
	}
	return replacePasswordFile(path, fresh.String())
}

func replacePasswordFile(path, content string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".pgpass-*") // 0600, or libpq does not read it
	if err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}
	_, err = io.WriteString(file, content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the password file: %w", err), os.Remove(file.Name()))
	}
	return nil
}
