package secretsmanager

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	defaultPassword = 32 // characters
	longestPassword = 4096
)

// kinds of characters, in the order in which one of each is put into a password: lowercase, uppercase,
// numbers, punctuation.
var kinds = []string{
	"abcdefghijklmnopqrstuvwxyz",
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"0123456789",
	"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}

type randomRequest struct {
	PasswordLength          *int
	ExcludeCharacters       string
	ExcludeLowercase        bool
	ExcludeUppercase        bool
	ExcludeNumbers          bool
	ExcludePunctuation      bool
	IncludeSpace            bool
	RequireEachIncludedType *bool
}

// getRandomPassword makes one that has, unless that is not wanted, a character of each kind.
func (s *Server) getRandomPassword(_ context.Context, _ sigv4.Credential, q randomRequest) (any, error) {
	length := defaultPassword
	if q.PasswordLength != nil {
		length = *q.PasswordLength
	}
	excluded := []bool{q.ExcludeLowercase, q.ExcludeUppercase, q.ExcludeNumbers, q.ExcludePunctuation}
	var included []string
	for i, kind := range kinds {
		if !excluded[i] {
			included = append(included, without(kind, q.ExcludeCharacters))
		}
	}
	if q.IncludeSpace {
		included = append(included, " ")
	}
	each := q.RequireEachIncludedType == nil || *q.RequireEachIncludedType
	all := strings.Join(included, "")
	if length < 1 || length > longestPassword || all == "" || each && length < len(included) {
		return nil, awsjson.Refuse("InvalidParameterException", "PasswordLength is 1 to 4096, long enough for each kind of characters, and some characters have to be left.")
	}
	password := make([]byte, length)
	for i := range password {
		from := all
		if each && i < len(included) && included[i] != "" {
			from = included[i]
		}
		password[i] = from[below(len(from))]
	}
	for i := range password { // the first ones are in the order of the kinds
		j := i + below(length-i)
		password[i], password[j] = password[j], password[i]
	}
	return map[string]string{"RandomPassword": string(password)}, nil
}

func without(characters, excluded string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(excluded, r) {
			return -1
		}
		return r
	}, characters)
}

func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // crypto/rand never fails
	}
	return int(i.Int64())
}
