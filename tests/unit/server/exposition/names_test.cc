#include "server/exposition/names.h"

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

std::string Metric(absl::string_view name, Escaping escaping) { return EscapeMetricName(name, escaping); }

TEST(NamesTest, VectorsOfPrometheus) {
  EXPECT_EQ(Metric("a.b_c", Escaping::kUnderscores), "a_b_c");
  EXPECT_EQ(Metric("a.b_c", Escaping::kDots), "a_dot_b__c");
  EXPECT_EQ(Metric("a.b_c", Escaping::kValues), "U__a_2e_b__c");
  EXPECT_EQ(Metric("0x é", Escaping::kUnderscores), "_x__");
  EXPECT_EQ(Metric("0x é", Escaping::kDots), "__x____");
  EXPECT_EQ(Metric("0x é", Escaping::kValues), "U___30_x_20__e9_");
  EXPECT_EQ(Metric("0x é", Escaping::kAllowUtf8), "0x é");
}

TEST(NamesTest, LegacyNamesNeverChange) {
  for (const Escaping escaping : {Escaping::kUnderscores, Escaping::kAllowUtf8, Escaping::kDots, Escaping::kValues}) {
    EXPECT_EQ(Metric("a_b:c_total", escaping), "a_b:c_total");
    EXPECT_EQ(EscapeLabelName("le_x", escaping), "le_x");
  }
}

TEST(NamesTest, ColonIsNoPartOfALabelName) {
  EXPECT_EQ(EscapeLabelName("a:b", Escaping::kUnderscores), "a_b");
  EXPECT_EQ(EscapeLabelName("a:b", Escaping::kValues), "U__a_3a_b");
}

TEST(NamesTest, ValuesAndHelpAreEscaped) {
  std::string out;
  AppendEscapedValue("a\"b\\c\nd\té", &out);
  EXPECT_EQ(out, "a\\\"b\\\\c\\nd\té");
  out.clear();
  AppendEscapedHelp("\"q\" \\ \n", /*quotes=*/false, &out);
  EXPECT_EQ(out, "\"q\" \\\\ \\n");
}

TEST(NamesTest, UnknownSchemesAreUnderscores) {
  EXPECT_EQ(ParseEscaping("allow-utf-8"), Escaping::kAllowUtf8);
  EXPECT_EQ(ParseEscaping("dots"), Escaping::kDots);
  EXPECT_EQ(ParseEscaping("anything"), Escaping::kUnderscores);
  EXPECT_EQ(ParseEscaping(""), Escaping::kUnderscores);
}

}  // namespace
}  // namespace wheelpit
