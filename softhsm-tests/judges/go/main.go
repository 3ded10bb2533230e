// What Go says of a cell: crypto/x509, go-spiffe and zlint's rules of the RFCs of its certificates, Tessera and torchwood of its log.
//
// Usage: judge certificates|log DIRECTORY ALLOWED. For certificates the directory has anchors.pem, issuer.crl (DER), and for each
// NAME.chain.pem; `revoked` is revoked, and the others are not.
package main

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// Sources of the rules that hold for a private PKI: not those of browsers.
var sources = lint.SourceList{
	lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813,
}

type judge struct {
	allowed  map[string]bool
	findings []string
	looked   int
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: judge certificates|log DIRECTORY ALLOWED")
		os.Exit(2)
	}
	judge := judge{allowed: allowed(os.Args[3])}
	switch os.Args[1] {
	case "certificates":
		judge.directory(os.Args[2])
	case "log":
		judge.log(os.Args[2])
	}
	for _, finding := range judge.findings {
		fmt.Fprintln(os.Stderr, finding)
	}
	fmt.Printf("looked at %d, %d findings\n", judge.looked, len(judge.findings))
	if len(judge.findings) > 0 || judge.looked == 0 {
		os.Exit(1)
	}
}

func (j *judge) directory(dir string) {
	anchors := certificates(must(os.ReadFile(filepath.Join(dir, "anchors.pem"))))
	list := must(x509.ParseRevocationList(must(os.ReadFile(filepath.Join(dir, "issuer.crl")))))
	roots := x509.NewCertPool()
	for _, anchor := range anchors {
		roots.AddCert(anchor)
		j.lint("root", anchor)
	}
	var issuer *x509.Certificate
	for _, file := range must(filepath.Glob(filepath.Join(dir, "*.chain.pem"))) {
		name := strings.TrimSuffix(filepath.Base(file), ".chain.pem")
		chain := certificates(must(os.ReadFile(file)))
		if len(chain) != 2 {
			j.find("%s: a chain of %d", file, len(chain))
			continue
		}
		issuer = chain[1]
		j.chain(file, name, chain, roots, anchors)
		revoked := false
		for _, entry := range list.RevokedCertificateEntries {
			revoked = revoked || entry.SerialNumber.Cmp(chain[0].SerialNumber) == 0
		}
		if revoked != (name == "revoked") {
			j.find("%s: on the list: %t", file, revoked)
		}
		j.lint(name, chain[0])
	}
	if issuer == nil {
		j.find("%s: no certificates", dir)
		return
	}
	j.lint("issuer", issuer)
	if err := list.CheckSignatureFrom(issuer); err != nil {
		j.find("the list: %v", err)
	}
	j.lintList(dir)
}

func (j *judge) chain(file, name string, chain []*x509.Certificate, roots *x509.CertPool, anchors []*x509.Certificate) {
	intermediates := x509.NewCertPool()
	intermediates.AddCert(chain[1])
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		options := x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := chain[0].Verify(options); err != nil {
			j.find("%s: crypto/x509, %v: %v", file, usage, err)
		}
	}
	id, err := spiffeid.FromURI(chain[0].URIs[0])
	if err != nil {
		j.find("%s: no SPIFFE ID: %v", file, err)
		return
	}
	bundle := x509bundle.FromX509Authorities(id.TrustDomain(), anchors)
	if _, _, err := x509svid.Verify(chain, bundle); err != nil {
		j.find("%s: go-spiffe: %v", file, err)
	}
}

func (j *judge) lint(name string, certificate *x509.Certificate) {
	j.looked++
	registry := must(lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources}))
	parsed := must(zx509.ParseCertificate(certificate.Raw))
	j.results(name, zlint.LintCertificateEx(parsed, registry).Results)
}

func (j *judge) lintList(dir string) {
	j.looked++
	registry := must(lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources}))
	list := must(zx509.ParseRevocationList(must(os.ReadFile(filepath.Join(dir, "issuer.crl")))))
	j.results("list", zlint.LintRevocationListEx(list, registry).Results)
}

func (j *judge) results(name string, results map[string]*lint.LintResult) {
	for rule, result := range results {
		if result.Status <= lint.Notice {
			continue
		}
		if j.allowed["zlint "+rule] {
			continue
		}
		j.find("%s: zlint %s: %s %s", name, rule, result.Status, result.Details)
	}
}

func (j *judge) find(format string, arguments ...any) {
	j.findings = append(j.findings, fmt.Sprintf(format, arguments...))
}

// The findings that are allowed: a judge, a rule, and why, on a line.
func allowed(file string) map[string]bool {
	rules := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(must(os.ReadFile(file))))
	for lines.Scan() {
		words := strings.SplitN(lines.Text(), " ", 3)
		if len(words) == 3 && !strings.HasPrefix(words[0], "#") {
			rules[words[0]+" "+words[1]] = true
		}
	}
	return rules
}

func certificates(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, must(x509.ParseCertificate(block.Bytes)))
	}
	return all
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}
