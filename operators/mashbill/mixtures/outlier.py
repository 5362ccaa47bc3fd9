"""A loss that its mixture does not explain, as records and warnings name it."""

from mashbill.artifacts import Part


class OutlierLoss(Part):
    """A loss that is left out.

    Attributes:
        index: of the run; set: name of the column.
        loss: measured; expected: by the other runs.
    """

    index: int | str
    set: str
    loss: float
    expected: float

    def warning(self, source: str, mend: str) -> str:
        """A line that names the run, in a file or stage."""
        what = f"is {self.loss:.4g}, where the other runs let one expect {self.expected:.4g}"
        left = "it is left out of the regression and its errors"
        return f"{source}: index {self.index}, column {self.set}: {what}; {left}; {mend}"
