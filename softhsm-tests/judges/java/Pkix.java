import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.*;
import java.util.*;

/** What Java's PKIX validation (RFC 5280 §6) says of a chain: `Pkix ANCHORS CHAIN CRL good|revoked`. */
public class Pkix {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        Set<TrustAnchor> anchors = new HashSet<>();
        for (Certificate anchor : read(factory, arguments[0])) {
            anchors.add(new TrustAnchor((X509Certificate) anchor, null));
        }
        List<Certificate> chain = new ArrayList<>(read(factory, arguments[1]));
        CRL list;
        try (FileInputStream in = new FileInputStream(arguments[2])) {
            list = factory.generateCRL(in);
        }
        PKIXParameters parameters = new PKIXParameters(anchors);
        parameters.setRevocationEnabled(true);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(List.of(list))));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        // The list is the issuer's; who revokes the issuer is the root.
        checker.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS,
            PKIXRevocationChecker.Option.NO_FALLBACK, PKIXRevocationChecker.Option.ONLY_END_ENTITY));
        parameters.addCertPathChecker(checker);
        String said;
        try {
            validator.validate(factory.generateCertPath(chain), parameters);
            said = "good";
        } catch (CertPathValidatorException refused) {
            boolean revoked = refused.getReason() == CertPathValidatorException.BasicReason.REVOKED;
            said = revoked ? "revoked" : refused.toString();
        }
        if (!said.equals(arguments[3])) {
            System.err.println(arguments[1] + ": " + said + ", and not " + arguments[3]);
            System.exit(1);
        }
    }

    private static Collection<? extends Certificate> read(CertificateFactory factory, String file) throws Exception {
        try (var in = Files.newInputStream(Path.of(file))) {
            return factory.generateCertificates(in);
        }
    }
}
