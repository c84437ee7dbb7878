package controlplane

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// applicationParameters are those of CreateRedshiftIdcApplication and ModifyRedshiftIdcApplication.
var applicationParameters = []string{
	"IdcInstanceArn", "RedshiftIdcApplicationName", "RedshiftIdcApplicationArn", "IdentityNamespace", "IdcDisplayName", "IamRoleArn",
	"AuthorizedTokenIssuerList", "AuthorizedTokenIssuerList.TrustedTokenIssuerArn", "AuthorizedTokenIssuerList.AuthorizedAudiencesList", "Tags.Tag.Key", "Tags.Tag.Value",
}

// An application is how Redshift is known in Identity Center.
type application struct {
	Instance  string          `xml:"IdcInstanceArn"`
	Name      string          `xml:"RedshiftIdcApplicationName"`
	ARN       string          `xml:"RedshiftIdcApplicationArn"`
	Namespace string          `xml:"IdentityNamespace"`
	Display   string          `xml:"IdcDisplayName"`
	Role      string          `xml:"IamRoleArn"`
	Managed   string          `xml:"IdcManagedApplicationArn"`
	Onboard   string          `xml:"IdcOnboardStatus"`
	Issuers   []trustedIssuer `xml:"AuthorizedTokenIssuerList>member"`
	Tags      []tag           `xml:"Tags>Tag"`
}

type tag struct{ Key, Value string }

// readTags reads Tags.Tag.N.
func readTags(form url.Values) (tags []tag) {
	for n := 1; ; n++ {
		prefix := "Tags.Tag." + strconv.Itoa(n)
		if !form.Has(prefix + ".Key") {
			return tags
		}
		tags = append(tags, tag{form.Get(prefix + ".Key"), form.Get(prefix + ".Value")})
	}
}

type trustedIssuer struct {
	ARN       string   `xml:"TrustedTokenIssuerArn"`
	Audiences []string `xml:"AuthorizedAudiencesList>member"`
}

func noApplication() error {
	return &awsjson.Error{Status: http.StatusNotFound, Code: "RedshiftIdcApplicationNotExists", Message: "The application does not exist."}
}

// trusted reads AuthorizedTokenIssuerList.member.N.
func trusted(form url.Values) []trustedIssuer {
	var issuers []trustedIssuer
	for n := 1; ; n++ {
		prefix := "AuthorizedTokenIssuerList.member." + strconv.Itoa(n)
		if !form.Has(prefix + ".TrustedTokenIssuerArn") {
			return issuers
		}
		issuers = append(issuers, trustedIssuer{form.Get(prefix + ".TrustedTokenIssuerArn"), awsquery.List(form, prefix+".AuthorizedAudiencesList.member")})
	}
}

// allow lets Redshift take the tokens of issuers.
func (s *Server) allow(managed string, issuers []trustedIssuer) error {
	if len(issuers) == 0 {
		return nil
	}
	var grant identitycenter.Grant
	for _, i := range issuers {
		grant.Issuers = append(grant.Issuers, identitycenter.TrustedIssuer{IssuerARN: i.ARN, Audiences: i.Audiences})
	}
	if err := s.config.Center.PutGrant(managed, identitycenter.JWTBearer, grant); err != nil {
		return awsjson.Refuse("InvalidParameterValue", "%s", err)
	}
	return nil
}

type createdApplication struct {
	XMLName     xml.Name
	Application application `xml:"RedshiftIdcApplication"`
}

func (s *Server) createApplication(_ sigv4.Credential, form url.Values) (any, error) {
	made := application{
		Instance: form.Get("IdcInstanceArn"), Name: form.Get("RedshiftIdcApplicationName"), Namespace: cmp.Or(form.Get("IdentityNamespace"), "AWSIDC"),
		Display: form.Get("IdcDisplayName"), Role: form.Get("IamRoleArn"), Onboard: "COMPLETED", Issuers: trusted(form), Tags: readTags(form),
	}
	switch {
	case s.config.Center == nil || made.Instance != s.config.Center.InstanceARN():
		return nil, &awsjson.Error{Status: http.StatusForbidden, Code: "DependentServiceAccessDenied", Message: "There is no such instance of IAM Identity Center in this region."}
	case made.Name == "" || made.Display == "" || made.Role == "":
		return nil, awsjson.Refuse("ValidationException", "RedshiftIdcApplicationName, IdcDisplayName and IamRoleArn are needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.applications {
		if known.Name == made.Name {
			return nil, awsjson.Refuse("RedshiftIdcApplicationAlreadyExists", "There is an application of this name.")
		}
	}
	managed, err := s.config.Center.CreateApplication(identitycenter.RedshiftApplication, made.Name, made.Display)
	if err != nil {
		return nil, err
	}
	if err := s.allow(managed.ARN, made.Issuers); err != nil {
		return nil, cmp.Or(s.config.Center.DeleteApplication(managed.ARN), err)
	}
	made.Managed = managed.ARN
	made = s.keep(made)
	return createdApplication{xml.Name{Local: "CreateRedshiftIdcApplicationResult"}, made}, s.everybody(managed.ARN)
}

// keep gives an application its ARN. The lock is held.
func (s *Server) keep(made application) application {
	s.made++
	made.ARN = fmt.Sprintf("arn:aws:redshift:%s:%s:redshiftidcapplication:00000000-0000-4000-8000-%012d", s.config.Region, s.config.Account, s.made)
	s.applications[made.ARN] = made
	return made
}

// adopt makes the applications known that stand for Redshift in Identity Center from the start.
func (s *Server) adopt() {
	if s.config.Center == nil {
		return
	}
	for _, managed := range s.config.Center.Applications() {
		if managed.Provider != identitycenter.RedshiftApplication {
			continue
		}
		known := application{
			Instance: s.config.Center.InstanceARN(), Name: managed.Name, Namespace: s.config.Namespace, Display: managed.Description,
			Role: s.config.IdentityRole, Managed: managed.ARN, Onboard: "COMPLETED",
		}
		for _, i := range managed.Grants[identitycenter.JWTBearer].Issuers {
			known.Issuers = append(known.Issuers, trustedIssuer{i.IssuerARN, i.Audiences})
		}
		s.keep(known)
	}
}

// everybody lets all people of the identity store in, as if an administrator had assigned them.
func (s *Server) everybody(managed string) error {
	return s.config.Center.Change(managed, func(a *identitycenter.Application) error {
		a.AssignmentRequired = false
		return nil
	})
}

func (s *Server) modifyApplication(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, found := s.applications[form.Get("RedshiftIdcApplicationArn")]
	if !found {
		return nil, noApplication()
	}
	changed.Namespace = cmp.Or(form.Get("IdentityNamespace"), changed.Namespace)
	changed.Display = cmp.Or(form.Get("IdcDisplayName"), changed.Display)
	changed.Role = cmp.Or(form.Get("IamRoleArn"), changed.Role)
	switch issuers := trusted(form); {
	case len(issuers) > 0:
		if err := s.allow(changed.Managed, issuers); err != nil {
			return nil, err
		}
		changed.Issuers = issuers
	case form.Has("AuthorizedTokenIssuerList"): // an empty list, as clients write it
		if err := s.config.Center.DeleteGrant(changed.Managed, identitycenter.JWTBearer); err != nil && len(changed.Issuers) > 0 {
			return nil, err
		}
		changed.Issuers = nil
	}
	s.applications[changed.ARN] = changed
	return createdApplication{xml.Name{Local: "ModifyRedshiftIdcApplicationResult"}, changed}, nil
}

type describedApplications struct {
	XMLName      xml.Name      `xml:"DescribeRedshiftIdcApplicationsResult"`
	Applications []application `xml:"RedshiftIdcApplications>member"`
}

func (s *Server) describeApplications(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := form.Get("RedshiftIdcApplicationArn")
	var found describedApplications
	for arn, known := range s.applications {
		if asked == "" || asked == arn {
			found.Applications = append(found.Applications, known)
		}
	}
	if asked != "" && len(found.Applications) == 0 {
		return nil, noApplication()
	}
	slices.SortFunc(found.Applications, func(a, b application) int { return cmp.Compare(a.ARN, b.ARN) })
	return found, nil
}

func (s *Server) deleteApplication(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, found := s.applications[form.Get("RedshiftIdcApplicationArn")]
	if !found {
		return nil, noApplication()
	}
	delete(s.applications, known.ARN)
	return nil, s.config.Center.DeleteApplication(known.Managed)
}
