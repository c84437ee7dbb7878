package sts

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// assumeRoleWithWebIdentity trades a token for keys. It is unsigned: the token is the proof.
func (s *Server) assumeRoleWithWebIdentity(ctx context.Context, f form) (any, error) {
	session, err := f.sessionName()
	if err != nil {
		return nil, err
	}
	if f.get("ProviderId") != "" {
		return nil, validation("ProviderId is for OAuth 2.0 access tokens of Login with Amazon and Facebook: leave it out for OpenID Connect")
	}
	if err := f.noSessionPolicy(); err != nil {
		return nil, err
	}
	who, err := s.verify(ctx, f.get("WebIdentityToken"))
	if err != nil {
		return nil, err
	}
	const denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	role, err := s.role(f.get("RoleArn"), denied)
	if err != nil {
		return nil, err
	}
	if err := role.admits(who.request(session), "sts:AssumeRoleWithWebIdentity", len(who.tags) > 0, who.sourceIdentity != ""); err != nil {
		return nil, err
	}
	life, err := f.duration(role.MaxSession, exceedsRole)
	if err != nil {
		return nil, err
	}
	credential := s.session(role, session)
	credential.Tags, credential.TransitiveTagKeys, credential.SourceIdentity = who.tags, who.transitive, who.sourceIdentity
	keys, err := s.issue(credential, life)
	if err != nil {
		return nil, err
	}
	// AWS does not refuse a jti it has seen here (Identity Center does), so neither does the
	// twin; the log lets a test look.
	s.logger.Info("sts assumed role", "role", role.arn, "session", session, "issuer", who.provider.URL,
		"subject", who.subject, "jti", who.tokenID, "access_key", keys.AccessKeyID)
	return webIdentityResult{
		Subject: who.subject, Audience: who.audience, Provider: who.provider.arn, SourceIdentity: who.sourceIdentity,
		PackedPolicySize: packedSize(who.tags), AssumedRoleUser: assumedUser(credential), Credentials: keys,
	}, nil
}

// request is what the trust policy sees of a web identity.
func (i identity) request(session string) request {
	q := request{federated: i.provider.arn, context: map[string]string{
		i.provider.prefix + ":aud": i.audience,
		i.provider.prefix + ":sub": i.subject,
		"sts:rolesessionname":      session,
	}}
	if i.original != "" {
		q.context[i.provider.prefix+":oaud"] = i.original
	}
	q.addTags(requestTag, i.tags)
	if i.sourceIdentity != "" {
		q.context["sts:sourceidentity"] = i.sourceIdentity
	}
	return q
}

func (q request) addTags(prefix string, tags map[string]string) {
	for key, value := range tags {
		q.context[prefix+strings.ToLower(key)] = value
	}
}

// role finds a role of the account. One that does not exist is denied like one that does not
// trust the caller, so that roles cannot be probed for.
func (s *Server) role(arn, denied string) (*role, error) {
	if !strings.HasPrefix(arn, "arn:aws:iam::") || len(arn) < 20 || len(arn) > 2048 {
		return nil, validation("Request ARN is invalid")
	}
	s.mu.RLock()
	found, ok := s.roles[arn]
	s.mu.RUnlock()
	if !ok {
		return nil, accessDenied(denied)
	}
	return found, nil
}

// admits asks the trust policy for every action that the request amounts to.
func (r *role) admits(q request, action string, tags, sourceIdentity bool) error {
	actions := []string{action}
	if tags {
		actions = append(actions, "sts:TagSession")
	}
	if sourceIdentity {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, needed := range actions {
		if !r.trust.permits(needed, q) {
			return accessDenied("Not authorized to perform " + needed)
		}
	}
	return nil
}

func (s *Server) session(r *role, name string) sigv4.Credential {
	return sigv4.Credential{Account: s.config.Account, RoleARN: r.arn, RoleName: r.Name, RoleID: r.ID, SessionName: name}
}

func assumedUser(c sigv4.Credential) assumedRoleUser {
	return assumedRoleUser{Arn: c.ARN(), AssumedRoleID: c.UserID()}
}

// assumeRole lets a session of one role become a session of another.
func (s *Server) assumeRole(r *http.Request, body []byte, f form) (any, error) {
	caller, err := s.verifier.Verify(r, body)
	if err != nil {
		return nil, err
	}
	session, err := f.sessionName()
	if err != nil {
		return nil, err
	}
	if err := f.noSessionPolicy(); err != nil {
		return nil, err
	}
	external, sourceIdentity := f.get("ExternalId"), f.get("SourceIdentity")
	if external != "" && (len(external) < 2 || len(external) > 1224 || !externalPattern.MatchString(external)) {
		return nil, validation("1 validation error detected: Value at 'externalId' failed to satisfy constraint: 2 to 1224 letters, digits and _+=,.@:/-")
	}
	if sourceIdentity != "" && !sessionPattern.MatchString(sourceIdentity) {
		return nil, validation("1 validation error detected: Value at 'sourceIdentity' failed to satisfy constraint: 2 to 64 letters, digits and _+=,.@-")
	}
	tags, err := f.tags()
	if err != nil {
		return nil, err
	}
	transitive, err := f.list("TransitiveTagKeys")
	if err != nil {
		return nil, err
	}
	target, err := s.role(f.get("RoleArn"), "User: "+caller.ARN()+" is not authorized to perform: sts:AssumeRole on resource: "+f.get("RoleArn"))
	if err != nil {
		return nil, err
	}
	onBehalfOf, withContext, err := s.providedContext(f)
	if err != nil {
		return nil, err
	}
	if err := target.admits(callerRequest(caller, session, external, sourceIdentity, tags), "sts:AssumeRole", len(tags) > 0, sourceIdentity != "" || caller.SourceIdentity != ""); err != nil {
		return nil, err
	}
	if withContext && !target.trust.permits("sts:SetContext", callerRequest(caller, session, external, sourceIdentity, tags)) {
		return nil, accessDenied("User: " + caller.ARN() + " is not authorized to perform: sts:SetContext on resource: " + target.arn)
	}
	longest, because := target.MaxSession, exceedsRole
	if caller.SessionToken != "" && longest > time.Hour { // a session that assumes a role is chaining
		longest, because = time.Hour, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
	}
	life, err := f.duration(longest, because)
	if err != nil {
		return nil, err
	}
	credential := s.session(target, session)
	if err := inherit(&credential, caller, tags, transitive, sourceIdentity); err != nil {
		return nil, err
	}
	credential.OnBehalfOf = onBehalfOf
	keys, err := s.issue(credential, life)
	if err != nil {
		return nil, err
	}
	s.logger.Info("sts assumed role", "role", target.arn, "session", session, "caller", caller.ARN(), "access_key", keys.AccessKeyID)
	return assumeRoleResult{
		SourceIdentity: credential.SourceIdentity, PackedPolicySize: packedSize(credential.Tags),
		AssumedRoleUser: assumedUser(credential), Credentials: keys,
	}, nil
}

// callerRequest is what the trust policy sees of a caller with keys.
func callerRequest(caller sigv4.Credential, session, external, sourceIdentity string, tags map[string]string) request {
	q := request{
		principals: []string{caller.RoleARN, caller.ARN(), "arn:aws:iam::" + caller.Account + ":root", caller.Account},
		context:    map[string]string{"sts:rolesessionname": session},
	}
	if external != "" {
		q.context["sts:externalid"] = external
	}
	if sourceIdentity != "" {
		q.context["sts:sourceidentity"] = sourceIdentity
	}
	q.addTags(requestTag, tags)
	q.addTags(principalTag, caller.Tags)
	return q
}

// inherit gives the new session its own tags and what the caller's session passes on: neither
// a transitive tag nor the source identity can be changed along a chain.
func inherit(c *sigv4.Credential, caller sigv4.Credential, tags map[string]string, transitive []string, sourceIdentity string) error {
	for _, key := range transitive {
		if _, found := tags[key]; !found {
			return validation("The specified transitive tag key must be included in the requested tags.")
		}
	}
	c.Tags = maps.Clone(tags)
	for _, key := range caller.TransitiveTagKeys {
		for own := range tags {
			if strings.EqualFold(own, key) {
				return validation("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
			}
		}
		c.Tags[key] = caller.Tags[key]
	}
	c.TransitiveTagKeys = slices.Concat(caller.TransitiveTagKeys, transitive)
	if caller.SourceIdentity != "" && sourceIdentity != "" && sourceIdentity != caller.SourceIdentity {
		return accessDenied("The SourceIdentity of the calling session cannot be changed")
	}
	c.SourceIdentity = sourceIdentity
	if sourceIdentity == "" {
		c.SourceIdentity = caller.SourceIdentity
	}
	return nil
}

func (s *Server) getCallerIdentity(r *http.Request, body []byte) (any, error) {
	caller, err := s.verifier.Verify(r, body)
	if err != nil {
		return nil, err
	}
	return callerIdentityResult{Arn: caller.ARN(), UserID: caller.UserID(), Account: caller.Account}, nil
}
