package issuer

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Remote signs where its private half is kept and never leaves, such as in AWS KMS.
type Remote interface {
	PublicKey(ctx context.Context) (*rsa.PublicKey, error)
	// Sign makes an RS256 signature (RSASSA-PKCS1-v1_5) over a SHA-256 digest.
	Sign(ctx context.Context, digest []byte) ([]byte, error)
}

// A RemoteKey is one with its place in the rotation.
type RemoteKey struct {
	Name string    // where it is kept, for people: its ARN
	From time.Time // from when it signs
	Key  Remote
}

// openRemote asks for the public half of each key once: it never changes. A key that is over is not
// asked for, so that it may be disabled or deleted before anybody takes it out of the configuration.
func openRemote(ctx context.Context, remote []RemoteKey, files []signingKey, now time.Time) ([]signingKey, error) {
	var starts []time.Time
	for _, key := range remote {
		starts = append(starts, key.From)
	}
	for _, key := range files {
		starts = append(starts, key.from)
	}
	var keys []signingKey
	for _, r := range remote {
		if slices.ContainsFunc(starts, func(next time.Time) bool { return next.After(r.From) && !next.Add(keepPublished).After(now) }) {
			keys = append(keys, signingKey{from: r.From, place: r.Name, sign: signOver})
			continue
		}
		public, err := r.Key.PublicKey(ctx)
		if err != nil {
			return nil, fmt.Errorf("read signing key %s: %w", r.Name, err)
		}
		key, err := newSigningKey(r.From, r.Name, public, signChecked(r.Key, public))
		if err != nil {
			return nil, fmt.Errorf("read signing key %s: %w", r.Name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// signOver is only for a clock that was set back.
func signOver(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("its time was over when this program started; check this machine's clock")
}

// signChecked looks whether a signature is one of the key that was published. It costs a hundredth of
// what the call did, and AWS's refusal of a signature says nothing about where it went wrong.
func signChecked(key Remote, public *rsa.PublicKey) func(context.Context, []byte) ([]byte, error) {
	return func(ctx context.Context, digest []byte) ([]byte, error) {
		signature, err := key.Sign(ctx, digest)
		if err != nil {
			return nil, err
		}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature); err != nil {
			return nil, errors.New("what came back is no signature by the key that is published: is the endpoint right?")
		}
		return signature, nil
	}
}
