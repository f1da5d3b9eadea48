"""Ordinary questions of a bank's analyst over the generated data: what the gate should let through.

Each is written as an analyst would write it, without looking at what the gate refuses: by street, industry, size and
year, with the usual filters, joins and quantiles. They are asked one after the other by one partner, so that the
history of releases grows as it would.
"""

from typing import Final

__all__ = ["ORDINARY"]

_REGISTER: Final = (
    "select street, count(*) from market.enterprises group by street",
    "select industry, count(*) from market.enterprises group by industry",
    "select size, count(*) from market.enterprises group by size",
    "select street, size, count(*) from market.enterprises group by street, size",
    "select street, industry, count(*) from market.enterprises group by street, industry",
    "select community, count(*) from market.enterprises group by community",
    "select street, avg(registered_capital) from market.enterprises group by street",
    "select industry, avg(registered_capital), count(*) from market.enterprises group by industry",
    "select size, median(registered_capital) from market.enterprises group by size",
    "select histogram(registered_capital) from market.enterprises",
    "select size, histogram(registered_capital) from market.enterprises group by size",
    "select bin(registration_year, 2000, 2010, 2020), count(*) from market.enterprises group by 1",
    "select street, count(*) from market.enterprises where registration_year >= 2020 group by street",
    "select industry, count(*) from market.enterprises where size = 'micro' group by industry",
    "select industry, count(*) from market.enterprises where size in ('medium', 'large') group by industry",
    "select street, sum(registered_capital) from market.enterprises group by street",
    "select count(*), count(distinct uscc), avg(registered_capital) from market.enterprises",
    "select community_2025, count(*) from market.enterprises group by community_2025",
)

_TAX: Final = (
    "select year, sum(tax_paid) from tax.annual_filings group by year",
    "select year, sum(revenue), sum(tax_paid), count(*) from tax.annual_filings group by year",
    "select industry, sum(tax_paid) from tax.annual_filings where year = '2025' group by industry",
    "select industry, avg(tax_paid) from tax.annual_filings where year = '2024' group by industry",
    "select street, sum(tax_paid) from tax.annual_filings where year = '2025' group by street",
    "select street, avg(revenue) from tax.annual_filings where year = '2025' group by street",
    "select street, year, avg(tax_paid) from tax.annual_filings group by street, year",
    "select size, year, avg(revenue), count(*) from tax.annual_filings group by size, year",
    "select size, year, stddev(revenue) from tax.annual_filings group by size, year",
    "select industry, size, avg(revenue) from tax.annual_filings where year = '2025' group by industry, size",
    "select street, industry, count(*) from tax.annual_filings where year = '2025' group by street, industry",
    "select street, industry, avg(tax_paid) from tax.annual_filings where year = '2025' group by street, industry",
    "select street, size, sum(revenue) from tax.annual_filings where year = '2023' group by street, size",
    "select size, median(tax_paid) from tax.annual_filings where year = '2025' group by size",
    "select industry, median(revenue) from tax.annual_filings where year = '2025' group by industry",
    "select size, quantile_cont(revenue, 0.25), quantile_cont(revenue, 0.75) from tax.annual_filings group by size",
    "select histogram(tax_paid) from tax.annual_filings where year = '2025'",
    "select size, histogram(tax_paid) from tax.annual_filings where year = '2025' group by size",
    "select industry, count(*) from tax.annual_filings where tax_paid >= 100000 and year = '2025' group by industry",
    "select street, count(*) from tax.annual_filings where tax_paid < 1000 and year = '2025' group by street",
    "select street, count(*) filter (where adjusted) from tax.annual_filings where year = '2025' group by street",
    "select industry, count(*) filter (where adjusted), count(*) from tax.annual_filings group by industry",
    "select size, count(*) filter (where revenue >= 1000000) from tax.annual_filings where year = '2024' group by size",
    "select year, industry, count(distinct uscc) from tax.annual_filings group by year, industry",
    "select year, size, sum(tax_paid) from tax.annual_filings group by rollup (year, size)",
    "select street, size, count(*) from tax.annual_filings where year = '2024' group by cube (street, size)",
    "select industry, sum(revenue) from tax.annual_filings where size = 'small' and year = '2025' group by industry",
    "select street, avg(tax_paid) from tax.annual_filings where industry = 'C' and year = '2025' group by street",
    "select street, avg(tax_paid) from tax.annual_filings where industry = 'F' and year = '2025' group by street",
    "select size, avg(tax_paid) from tax.annual_filings where industry in ('I', 'J', 'M') group by size",
    "select year, avg(tax_paid) from tax.annual_filings where street = '福田街道' group by year",
    "select industry, avg(revenue) from tax.annual_filings where street = '福田街道' group by industry",
    "select avg(revenue), stddev(revenue), count(revenue) from tax.annual_filings where year = '2025'",
    "select size, variance(tax_paid) from tax.annual_filings where year = '2025' group by size",
    "select bin(filed_on, '2025-01-01', '2026-01-01'), count(*) from tax.annual_filings group by 1",
)

_SOCIAL: Final = (
    "select quarter, sum(headcount) from social.insurance group by quarter",
    "select quarter, avg(headcount), count(*) from social.insurance group by quarter",
    "select quarter, count(*) filter (where arrears) from social.insurance group by quarter",
    "select quarter, sum(arrears_amount) from social.insurance where arrears group by quarter",
    "select histogram(headcount) from social.insurance where quarter = '2025Q4'",
    "select quarter, median(headcount) from social.insurance group by quarter",
    "select quarter, sum(contribution) from social.insurance group by quarter",
    "select bin(headcount, 10, 50, 300), avg(contribution) from social.insurance where quarter = '2025Q4' group by 1",
    "select industry, avg(headcount) from social.insurance join market.enterprises using (uscc) "
    "where quarter = '2025Q4' group by industry",
    "select street, sum(headcount) from social.insurance join market.enterprises using (uscc) "
    "where quarter = '2025Q4' group by street",
    "select size, avg(headcount) from social.insurance join market.enterprises using (uscc) "
    "where quarter = '2025Q4' group by size",
    "select industry, count(*) filter (where arrears), count(*) from social.insurance "
    "join market.enterprises using (uscc) where quarter = '2025Q4' group by industry",
    "select street, count(*) filter (where arrears) from social.insurance "
    "join market.enterprises using (uscc) where quarter = '2025Q4' group by street",
    "select size, quarter, count(*) from social.insurance join market.enterprises using (uscc) group by size, quarter",
)

_PENALTIES: Final = (
    "select kind, count(*) from justice.penalties group by kind",
    "select kind, count(distinct uscc) from justice.penalties group by kind",
    "select kind, avg(amount) from justice.penalties where kind in ('fine', 'confiscation') group by kind",
    "select bin(decided_on, '2024-01-01', '2025-01-01'), count(*) from justice.penalties group by 1",
    "select street, count(*) from justice.penalties join market.enterprises using (uscc) group by street",
    "select industry, count(*) from justice.penalties join market.enterprises using (uscc) group by industry",
    "select size, kind, count(*) from justice.penalties join market.enterprises using (uscc) group by size, kind",
    "select size, sum(amount) from justice.penalties join market.enterprises using (uscc) group by size",
    "select histogram(amount) from justice.penalties where kind = 'fine'",
    "select count(*) filter (where reported_twice), count(*) from justice.penalties",
)

_POWER: Final = (
    "select quarter, sum(kwh) from power.electricity group by quarter",
    "select quarter, avg(kwh), count(kwh), count(*) from power.electricity group by quarter",
    "select quarter, median(kwh) from power.electricity group by quarter",
    "select histogram(kwh) from power.electricity where quarter = '2025Q2'",
    "select industry, sum(kwh) from power.electricity join market.enterprises using (uscc) "
    "where quarter = '2025Q2' group by industry",
    "select street, sum(kwh) from power.electricity join market.enterprises using (uscc) "
    "where quarter = '2025Q2' group by street",
    "select size, avg(charge) from power.electricity join market.enterprises using (uscc) "
    "where quarter = '2025Q4' group by size",
    "select industry, avg(kwh) from power.electricity join market.enterprises using (uscc) "
    "where quarter = '2024Q4' group by industry",
    "select street, quarter, sum(kwh) from power.electricity join market.enterprises using (uscc) "
    "where quarter in ('2025Q1', '2025Q2') group by street, quarter",
)

_CREDIT: Final = (
    "select histogram(tax_level) from bureau.credit_features",
    "select bin(arrears_quarters, 1, 2, 4), count(*) from bureau.credit_features group by 1",
    "select bin(penalty_count, 1, 2, 3), count(*) from bureau.credit_features group by 1",
    "select avg(tax_level), stddev(tax_level) from bureau.credit_features",
    "select power_known, count(*), avg(tax_level) from bureau.credit_features group by power_known",
    "select industry, avg(tax_level) from bureau.credit_features join market.enterprises using (uscc) "
    "group by industry",
    "select street, avg(power_drop) from bureau.credit_features join market.enterprises using (uscc) group by street",
    "select size, avg(arrears_quarters) from bureau.credit_features join market.enterprises using (uscc) group by size",
)

_LOANS: Final = (
    "select count(*), avg(loan_amount) from banka.loans",
    "select collateral, count(*), sum(loan_amount) from banka.loans group by collateral",
    "select defaulted, count(*), avg(loan_amount) from banka.loans group by defaulted",
    "select collateral, count(*) filter (where defaulted), count(*) from banka.loans group by collateral",
    "select bin(term_months, 12, 24, 36), avg(rate) from banka.loans group by 1",
    "select industry, count(*), count(*) filter (where defaulted) from banka.loans "
    "join market.enterprises using (uscc) group by industry",
    "select street, avg(loan_amount) from banka.loans join market.enterprises using (uscc) group by street",
    "select size, count(*) filter (where defaulted), count(*) from banka.loans "
    "join market.enterprises using (uscc) group by size",
    "select size, median(loan_amount) from banka.loans join market.enterprises using (uscc) group by size",
    "select histogram(utilisation) from bankb.loans",
    "select bin(opened_year, 2015, 2020), avg(credit_line) from bankb.loans group by 1",
    "select defaulted, avg(utilisation), count(*) from bankb.loans group by defaulted",
)

_PEOPLE: Final = (
    "select street, count(*) from population.residents group by street",
    "select age_band, sex, count(*) from population.residents group by age_band, sex",
    "select street, age_band, count(*) from population.residents group by street, age_band",
    "select community, count(*) from population.residents group by community",
    "select employment, count(*) from population.residents group by employment",
    "select street, employment, count(*) from population.residents group by street, employment",
    "select age_band, avg(monthly_income) from population.residents group by age_band",
    "select street, median(monthly_income) from population.residents group by street",
    "select sex, age_band, avg(monthly_income), count(monthly_income) from population.residents group by sex, age_band",
    "select histogram(monthly_income) from population.residents where employment = 'employed'",
    "select community, avg(monthly_income) from population.residents group by community",
    "select community_2025, avg(monthly_income) from population.residents group by community_2025",
)

ORDINARY: Final = (*_REGISTER, *_TAX, *_SOCIAL, *_PENALTIES, *_POWER, *_CREDIT, *_LOANS, *_PEOPLE)
"""All questions, in the order they are asked."""
