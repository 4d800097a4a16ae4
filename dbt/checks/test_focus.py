"""The FOCUS view against the specification: its columns, types, null rules and allowed values, and the costs."""

from __future__ import annotations

import datetime
import decimal

import duckdb

# Cost and Usage dataset of FOCUS 1.2: https://focus.finops.org/focus-specification/v1-2/
DECIMALS = {
    "BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice",
    "EffectiveCost", "ListCost", "ListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "PricingQuantity",
}
MOMENTS = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
STRINGS = {
    "AvailabilityZone", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "CapacityReservationId", "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedUnit", "InvoiceId",
    "InvoiceIssuerName", "PricingCategory", "PricingCurrency", "PricingUnit", "ProviderName", "PublisherName",
    "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
}
NEVER_NULL = {
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName",
    "ListCost", "PricingCurrency", "PricingCurrencyEffectiveCost", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName", "ServiceSubcategory",
}


def columns(built) -> dict[str, str]:
    with duckdb.connect(str(built.database), read_only=True) as connection:
        return {name: kind for name, kind, *_ in connection.execute("DESCRIBE openai__focus_costs").fetchall()}


def test_all_columns_with_their_names_and_types_then_our_own(built):
    found = columns(built)
    ours = [name for name in found if name.startswith("x_")]
    assert set(found) - set(ours) == DECIMALS | MOMENTS | STRINGS
    assert list(found)[-len(ours):] == ours, "columns of the specification come first"
    assert {name for name, kind in found.items() if kind == "DECIMAL(38,18)"} == DECIMALS
    assert {name for name, kind in found.items() if kind == "TIMESTAMP WITH TIME ZONE"} == MOMENTS
    assert {name for name, kind in found.items() if kind == "VARCHAR"} == STRINGS | set(ours)


def test_every_charge_once_and_nothing_else(lake, built):
    def charge(row, *names):
        return tuple(row[name] for name in names)

    costs = sorted(
        (charge(r, "start_time", "end_time", "project_id", "api_key_id", "line_item", "amount") for r in lake.rows("costs") if r["amount"] is not None),
        key=repr,
    )
    found = sorted(
        (charge(r, "ChargePeriodStart", "ChargePeriodEnd", "SubAccountId", "ResourceId", "SkuId", "BilledCost") for r in built.rows("openai__focus_costs")),
        key=repr,
    )
    assert [tuple(map(str, row)) for row in found] == [tuple(map(str, row)) for row in costs]
    assert sum(row[-1] for row in found) == sum(decimal.Decimal(row[-1]) for row in costs)


def test_what_must_not_be_null_is_not(built):
    rows = built.rows("openai__focus_costs")
    assert rows
    assert {name for row in rows for name in NEVER_NULL if row[name] is None} == set()


def test_a_billing_period_is_the_calendar_month_of_the_charge(built):
    for row in built.rows("openai__focus_costs"):
        day = row["ChargePeriodStart"].astimezone(datetime.timezone.utc)
        following = (day.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
        assert row["BillingPeriodStart"] == day.replace(day=1)
        assert row["BillingPeriodEnd"] == following


def test_units_are_in_the_words_of_focus(lake, built):
    told = {r["quantity_unit"] for r in lake.rows("costs")}
    assert {"tokens", "1000_tokens", "gibibyte_hours", None} <= told, "the simulated organization has fewer units"
    units = {r["PricingUnit"] for r in built.rows("openai__focus_costs")}
    assert units == {"Tokens", "1000 Tokens", "Seconds", "Minutes", "Hours", "GiB-Hours", "Images", "Characters", None}
    assert {r["BillingCurrency"] for r in built.rows("openai__focus_costs")} == {"USD"}
